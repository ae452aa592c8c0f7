package persistence

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// categories notes what Pebble calls the files that it makes.
type categories struct {
	vfs.FS
	mu   sync.Mutex
	made []vfs.DiskWriteCategory
}

func (c *categories) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, category)
	return c.FS.Create(name, category)
}

// Flushes are paced and logs are filled by what Pebble calls them.
func TestPebbleNamesWhatItWrites(t *testing.T) {
	c := &categories{FS: vfs.NewMem()}
	o := memOptions(c)
	o.MemTableSize = 64 << 10
	s := mustOpenWith(t, o)
	group := mustGroup(t, s, "g")
	for i := range uint64(200) {
		mustWrite(t, s, write(group, 1, 1+i*100, 100))
	}
	mustClose(t, s)
	for _, category := range []vfs.DiskWriteCategory{walCategory, flushCategory} {
		if !slices.Contains(c.made, category) {
			t.Errorf("Pebble makes no file as %s any more", category)
		}
	}
}

// A flush pauses, unless the next memtable is full too or the store has no log yet, and nothing else does.
func TestFlushesArePaced(t *testing.T) {
	const pauses = 10
	for name, c := range map[string]struct {
		logs     int
		category vfs.DiskWriteCategory
		nextLog  bool
		want     time.Duration
	}{
		"a flush":                 {logs: 2, category: flushCategory, want: pauses * pacePause},
		"a flush while opening":   {logs: 0, category: flushCategory},
		"a flush that is overrun": {logs: 2, category: flushCategory, nextLog: true},
		"a log":                   {logs: 2, category: walCategory},
		"another file":            {logs: 2, category: vfs.WriteCategoryUnspecified},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := &paced{FS: vfs.NewMem()}
				for i := range c.logs {
					create(t, fs, fmt.Sprint("log", i), walCategory)
				}
				file := create(t, fs, "file", c.category)
				if c.nextLog {
					if _, err := fs.ReuseForWrite("log0", "log9", walCategory); err != nil {
						t.Fatal(err)
					}
				}
				begin := time.Now()
				for range 2 * pauses {
					if n, err := file.Write(make([]byte, paceBytes/2)); n != paceBytes/2 || err != nil {
						t.Fatal(n, err)
					}
				}
				if took := time.Since(begin); took != c.want {
					t.Errorf("it paused for %v, not %v", took, c.want)
				}
			})
		})
	}
	if _, is := newStore(t.TempDir(), Options{NodeID: "n1"}).options.FS.(*paced); !is {
		t.Error("the operating system's files are not paced")
	}
}

func create(t *testing.T, fs vfs.FS, name string, category vfs.DiskWriteCategory) vfs.File {
	t.Helper()
	file, err := fs.Create(name, category)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Replicas that are written alike flush at different times.
func TestMemTablesDiffer(t *testing.T) {
	sizes := map[int]bool{}
	for _, id := range []string{"n1", "n2", "n3", "n4", "n5"} {
		size := memTableSize(id)
		if size < 12<<20 || size >= 20<<20 {
			t.Errorf("%s: %d bytes", id, size)
		}
		sizes[size] = true
	}
	if len(sizes) < 3 {
		t.Errorf("five nodes have %d sizes", len(sizes))
	}
}
