package persistence

import (
	"slices"
	"sync"
	"testing"

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
		mustCommit(t, s, write(group, 1, 1+i*100, 100))
	}
	mustClose(t, s)
	for _, category := range []vfs.DiskWriteCategory{walCategory, flushCategory} {
		if !slices.Contains(c.made, category) {
			t.Errorf("Pebble makes no file as %s any more", category)
		}
	}
}

func TestFlushesArePaced(t *testing.T) {
	fs := paced{vfs.NewMem()}
	for category, want := range map[vfs.DiskWriteCategory]bool{flushCategory: true, walCategory: false, vfs.WriteCategoryUnspecified: false} {
		file, err := fs.Create(string(category), category)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := file.(*pacedFile); is != want {
			t.Errorf("%s: paced is %v", category, is)
		}
		if n, err := file.Write(make([]byte, 2*paceBytes)); n != 2*paceBytes || err != nil {
			t.Errorf("%s: %d, %v", category, n, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
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
