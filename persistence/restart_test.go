package persistence

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// tally counts what is written and synced. It holds up compactions until they may begin.
type tally struct {
	vfs.FS
	compact chan struct{}
	slow    time.Duration // of what is synced aside

	mu    sync.Mutex
	bytes int
	syncs []string // the names of what was synced
}

func newTally(fs vfs.FS) *tally { return &tally{FS: fs, compact: make(chan struct{})} }

// compactionCategory is what Pebble calls the outcome of a compaction.
const compactionCategory = "pebble-compaction"

func (c *tally) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == compactionCategory {
		<-c.compact
	}
	return c.count(c.FS.Create(name, category))(name)
}

func (c *tally) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return c.count(c.FS.OpenReadWrite(name, category, opts...))(name)
}

func (c *tally) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return c.count(c.FS.ReuseForWrite(oldname, newname, category))(newname)
}

func (c *tally) OpenDir(name string) (vfs.File, error) { return c.count(c.FS.OpenDir(name))(name) }

func (c *tally) count(file vfs.File, err error) func(name string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return &tallied{file, c, filepath.Base(name)}, nil
	}
}

// serial are the syncs so far that came one after the other.
func (c *tally) serial() (syncs []string, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.syncs), isAside), c.bytes
}

// isAside: the directory above, and the side file.
func isAside(name string) bool { return name == "." || name == sequenceName }

type tallied struct {
	vfs.File
	tally *tally
	name  string
}

func (f *tallied) wrote(n int) {
	f.tally.mu.Lock()
	defer f.tally.mu.Unlock()
	f.tally.bytes += n
}

func (f *tallied) synced() {
	if isAside(f.name) {
		time.Sleep(f.tally.slow)
	}
	f.tally.mu.Lock()
	defer f.tally.mu.Unlock()
	f.tally.syncs = append(f.tally.syncs, f.name)
}

func (f *tallied) Write(b []byte) (int, error) { f.wrote(len(b)); return f.File.Write(b) }

func (f *tallied) WriteAt(b []byte, offset int64) (int, error) {
	f.wrote(len(b))
	return f.File.WriteAt(b, offset)
}

func (f *tallied) Sync() error     { f.synced(); return f.File.Sync() }
func (f *tallied) SyncData() error { f.synced(); return f.File.SyncData() }

func (f *tallied) SyncTo(length int64) (bool, error) { f.synced(); return f.File.SyncTo(length) }

// die leaves the directory as a process that is killed does: what was written is there, synced or not.
func die(t *testing.T, s *Store) {
	t.Helper()
	s.fence.fail(errors.New("killed"))
	within(t, "Close", func() { _ = s.Close() })
}

// What a restart waits for: two tables, the manifest and the names of all three; the new log's name; Pebble's options and their name.
// It fills no log, and compacts nothing.
func TestWhatARestartWaitsFor(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Store){
		"stopped": func(t *testing.T, s *Store) { mustClose(t, s) },
		"killed":  die,
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			const logBytes = 1 << 20
			s := mustOpen(t, prepared{mem, logBytes})
			g := mustGroup(t, s, "g")
			for range 2 { // the first run founds, the second one finds tables
				mustWrite(t, s, write(g, 1, mustRecover(t, s, g).Last+1, 10))
				if err := s.PrepareLog(); err != nil {
					t.Fatal(err)
				}
				end(t, s)
				c := newTally(mem)
				within(t, "Open", func() { s = mustOpen(t, prepared{c, logBytes}) })
				if syncs, bytes := c.serial(); len(syncs) > 8 || bytes > 32<<10 {
					t.Errorf("opening waited for %d syncs, of %q, and %d bytes", len(syncs), syncs, bytes)
				}
				mustWrite(t, s, write(g, 1, mustRecover(t, s, g).Last+1, 1))
				if syncs, bytes := c.serial(); len(syncs) > 9 || bytes > 32<<10 {
					t.Errorf("the first write waited for %d syncs, of %q, and %d bytes", len(syncs), syncs, bytes)
				}
				close(c.compact)
			}
			mustClose(t, s)
		})
	}
}

// PrepareLog makes one file, which a log takes as a whole; the log that was used up before goes.
func TestPrepareLog(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, prepared{mem, 3*fillBytes + 1})
	mustGroup(t, s, "g")
	mustClose(t, s)
	s = mustOpen(t, prepared{mem, 3*fillBytes + 1})
	within(t, "removing the old log", func() {
		for _, err := mem.Stat(mem.PathJoin(dataDir, usedName)); err != nil; _, err = mem.Stat(mem.PathJoin(dataDir, usedName)) {
			time.Sleep(time.Millisecond)
		}
	})
	for range 2 {
		if err := s.PrepareLog(); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := mem.List(dataDir)
	if len(load(t, mem, spareName)) != 3*fillBytes+1 || slices.Contains(names, usedName) || slices.Contains(names, fillingName) {
		t.Errorf("%q", names)
	}
	mustClose(t, s)
	wantError(t, s.PrepareLog(), ErrClosed)
	mustClose(t, mustOpen(t, prepared{mem, 3*fillBytes + 1}))
	if names, _ = mem.List(dataDir); slices.Contains(names, spareName) {
		t.Errorf("%q: the log did not begin in the spare file", names)
	}
}

// Close does not wait until a log is filled, and nothing is filled after it.
func TestCloseEndsPrepareLog(t *testing.T) {
	mem := vfs.NewMem()
	fs := prepared{mem, fillBytes}
	s := mustOpen(t, fs)
	s.options.FS = prepared{mem, 1 << 40}
	ended := make(chan error, 1)
	go func() { ended <- s.PrepareLog() }()
	within(t, "PrepareLog", func() {
		for _, err := mem.Stat(mem.PathJoin(dataDir, fillingName)); err != nil; _, err = mem.Stat(mem.PathJoin(dataDir, fillingName)) {
			time.Sleep(time.Millisecond)
		}
	})
	within(t, "Close", func() { mustClose(t, s) })
	wantError(t, <-ended, ErrClosed)
	mustClose(t, mustOpen(t, fs))
}

// A disk that fails while a log is prepared is reported like any other.
func TestTheDiskFailsWhileALogIsPrepared(t *testing.T) {
	d := newDisk(vfs.NewMem())
	o := memOptions(prepared{d, fillBytes})
	failed := make(chan error, 1)
	o.OnFailure = func(err error) { failed <- err }
	s := mustOpenWith(t, o)
	d.inject(on(syscall.EIO, fillingName, errorfs.OpFileSyncData))
	go func() {
		_ = s.PrepareLog()
		t.Error("it returned")
	}()
	wantError(t, <-failed, ErrFailed, fillingName)
	within(t, "Close", func() { wantError(t, s.Close(), ErrFailed) })
}

// What waits to be compacted is compacted once the store is open.
func TestCompactionsBeginAfterOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 10))
	mustClose(t, s)
	s = mustOpen(t, mem)
	within(t, "compaction", func() {
		for s.db.Metrics().Compact.Count == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	mustClose(t, s)
}

// A number that was noted before the process died is durable before the other slot may be overwritten.
func TestTheSideFileIsDurableAfterOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 10))
	number := s.number
	if durableNumber(t, mem) == number {
		t.Fatal("the number is durable already")
	}
	die(t, s)
	c := newTally(mem)
	close(c.compact)
	c.slow = 200 * time.Millisecond
	s = mustOpen(t, c)
	if got := durableNumber(t, mem); got != number {
		t.Errorf("%d is durable of %d", got, number)
	}
	mustClose(t, s)
}

// A new directory's own name is durable before anything in it is promised.
func TestTheDirectoryIsDurableAfterOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	c := newTally(mem)
	close(c.compact)
	c.slow = 200 * time.Millisecond
	s := mustOpen(t, c)
	if _, err := crash(mem).Stat(dataDir); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
}
