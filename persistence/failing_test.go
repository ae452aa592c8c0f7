package persistence

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a memory file system whose mutating calls can be made to fail.
type disk struct {
	vfs.FS
	mem   *crashing
	fault atomic.Pointer[func(errorfs.Op) error]
}

func newDisk(mem *vfs.MemFS) *disk {
	d := &disk{mem: &crashing{MemFS: mem}}
	d.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if f := d.fault.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	}))
	return d
}

func (d *disk) inject(f func(errorfs.Op) error) { d.fault.Store(&f) }

// crashing can be cloned while it is in use. Lock and ReuseForWrite take MemFS's lock twice: without mu, a clone that begins in between
// and the call would wait for each other.
type crashing struct {
	*vfs.MemFS
	mu sync.Mutex
}

func (c *crashing) Lock(name string) (io.Closer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.MemFS.Lock(name)
}

func (c *crashing) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.MemFS.ReuseForWrite(oldname, newname, category)
}

func (c *crashing) crash() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return crash(c.MemFS)
}

// on fails the given kinds of calls on files whose names end in suffix.
func on(err error, suffix string, kinds ...errorfs.OpKind) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		for _, kind := range kinds {
			if op.Kind == kind && strings.Contains(op.Path, suffix) {
				return err
			}
		}
		return nil
	}
}

func TestNothingIsAcknowledgedAfterTheDiskFailed(t *testing.T) {
	syncs := []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	full := func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpCreate {
			return syscall.ENOSPC
		}
		return nil
	}
	cases := map[string]func(errorfs.Op) error{
		"EIO writing the log":         on(syscall.EIO, ".log", errorfs.OpFileWrite),
		"EIO syncing the log":         on(syscall.EIO, ".log", syncs...),
		"no new log at rotation":      on(syscall.EIO, ".log", errorfs.OpCreate, errorfs.OpReuseForWrite),
		"full disk":                   full,
		"full while writing a table":  on(syscall.ENOSPC, ".sst", errorfs.OpFileWrite),
		"no new table":                on(syscall.ENOSPC, ".sst", errorfs.OpCreate),
		"EIO syncing a table":         on(syscall.EIO, ".sst", syncs...),
		"EIO writing the manifest":    on(syscall.EIO, "MANIFEST", errorfs.OpFileWrite),
		"EIO syncing the manifest":    on(syscall.EIO, "MANIFEST", syncs...),
		"EIO writing the side file":   on(syscall.EIO, sequenceName, errorfs.OpFileWriteAt),
		"EIO syncing the side file":   on(syscall.EIO, sequenceName, syncs...),
		"EIO syncing the directory":   func(op errorfs.Op) error { return dirSync(op) },
		"tables cannot be removed":    on(syscall.EIO, ".sst", errorfs.OpRemove),
		"compaction cannot read":      on(syscall.EIO, ".sst", errorfs.OpFileReadAt),
		"compaction cannot open":      on(syscall.EMFILE, ".sst", errorfs.OpOpen),
		"one failure, then all right": once(on(syscall.EIO, ".log", syncs...)),
	}
	for name, fault := range cases {
		t.Run(name, func(t *testing.T) { t.Parallel(); failWhileWriting(t, name, fault) })
	}
}

func dirSync(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileSync && strings.HasSuffix(op.Path, dataDir) {
		return syscall.EIO
	}
	return nil
}

func once(fault func(errorfs.Op) error) func(errorfs.Op) error {
	var done atomic.Bool
	return func(op errorfs.Op) error {
		if err := fault(op); err != nil && done.CompareAndSwap(false, true) {
			return err
		}
		return nil
	}
}

func failWhileWriting(t *testing.T, name string, fault func(errorfs.Op) error) {
	mem := vfs.NewCrashableMem()
	d := newDisk(mem)
	o := memOptions(d)
	o.SequenceInterval = -1
	var reports atomic.Int32
	reported := make(chan error, 10)
	o.OnFailure = func(err error) { reports.Add(1); reported <- err }
	s, err := Open(dataDir, o)
	if err != nil {
		t.Fatal(err)
	}
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 10))
	d.inject(fault)

	var acknowledged atomic.Uint64
	acknowledged.Store(10)
	go func() {
		for {
			first := acknowledged.Load() + 1
			after := reports.Load() > 0
			if s.Write([]*Batch{write(g, 1, first, 500)}) != nil {
				return
			}
			if after {
				t.Error("a write was acknowledged after the failure was reported")
			}
			acknowledged.Store(first + 499)
		}
	}()
	select {
	case err := <-reported:
		wantError(t, err, ErrFailed, "nothing more is stored")
	case <-time.After(patience):
		t.Fatalf("no failure was reported after %d entries", acknowledged.Load())
	}
	// P-10: the fault goes away; the store stays failed.
	d.inject(func(errorfs.Op) error { return nil })
	wantError(t, s.Failed(), ErrFailed)
	within(t, "Write", func() {
		wantError(t, s.Write([]*Batch{write(g, 1, acknowledged.Load()+1, 1)}), ErrFailed)
	})
	within(t, "Group", func() {
		_, err := s.Group("other", nil)
		wantError(t, err, ErrFailed)
	})
	within(t, "Read", func() {
		if _, entries, err := s.Read(g, 1, 11, 1<<20); err != nil || data(t, entries) != data(t, run(1, 1, 10)) {
			t.Errorf("read %d entries, %v", len(entries), err)
		}
	})
	within(t, "Close", func() { wantError(t, s.Close(), ErrFailed) })
	if n := reports.Load(); n != 1 {
		t.Errorf("%d reports", n)
	}

	// The power fails too: what was acknowledged is there, and nothing has a gap.
	after, err := Open(dataDir, memOptions(mem.CrashClone(vfs.CrashCloneCfg{})))
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, after)
	if found := mustRecover(t, after, g); found.Last < acknowledged.Load() {
		t.Errorf("%d entries of %d acknowledged ones", found.Last, acknowledged.Load())
	}
}

// Open on a failing disk returns an error, whichever call fails, and leaves a directory that can be opened.
func TestOpenOnAFailingDisk(t *testing.T) {
	prepare := map[string]func(t *testing.T, mem *vfs.MemFS){
		"new": func(*testing.T, *vfs.MemFS) {},
		"with a log": func(t *testing.T, mem *vfs.MemFS) {
			s := mustOpen(t, mem)
			g := mustGroup(t, s, "g")
			mustWrite(t, s, write(g, 1, 1, 2000))
			mustClose(t, s)
		},
	}
	for name, prepare := range prepare {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := vfs.NewCrashableMem()
			prepare(t, base)
			for at := int32(1); ; at++ {
				mem := base.CrashClone(vfs.CrashCloneCfg{})
				if openWithFault(t, mem, at) {
					if at < 20 {
						t.Errorf("only %d calls could fail", at)
					}
					return
				}
				s, err := Open(dataDir, memOptions(mem))
				if err != nil {
					t.Fatalf("after call %d failed: %v", at, err)
				}
				if name != "new" {
					if found := mustRecover(t, s, 1); found.Last != 2000 {
						t.Fatalf("after call %d failed: %d entries", at, found.Last)
					}
				}
				mustClose(t, s)
			}
		})
	}
}

// openWithFault fails the mutating call number at and all later ones, and says whether Open needed fewer calls.
func openWithFault(t *testing.T, mem *vfs.MemFS, at int32) (opened bool) {
	t.Helper()
	d := newDisk(mem)
	var calls atomic.Int32
	d.inject(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpLock && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && calls.Add(1) >= at {
			return syscall.ENOSPC
		}
		return nil
	})
	o := memOptions(d)
	var reported atomic.Bool // from any goroutine, as soon as Open has succeeded
	o.OnFailure = func(error) { reported.Store(true) }
	within(t, "Open", func() {
		s, err := Open(dataDir, o)
		if err == nil {
			_ = s.Close()
			opened = true
			return
		}
		wantError(t, err, ErrFailed, "no space left on device")
		if reported.Load() {
			t.Error("a failure of Open was reported besides")
		}
	})
	return opened
}

// A directory whose owner gave up is free only when no call of the owner hangs in the file system any more.
func TestTheLockStaysWhileACallHangs(t *testing.T) {
	mem := vfs.NewMem()
	f := newFence(mem)
	if _, err := f.Lock("LOCK"); err != nil {
		t.Fatal(err)
	}
	inner, err := mem.Create("file", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	slow := slowFile{File: inner, begun: make(chan struct{}), finish: make(chan struct{})}
	returned := make(chan struct{})
	go func() {
		_ = f.writable("file", slow).Sync()
		close(returned)
	}()
	<-slow.begun
	f.fail(errors.New("some other call failed"))
	f.abandon()
	if _, err := mem.Lock("LOCK"); err == nil {
		t.Fatal("the lock was free while a call hung")
	}
	close(slow.finish)
	deadline := time.After(patience)
	for {
		if _, err := mem.Lock("LOCK"); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the lock was never freed")
		default:
		}
	}
	select {
	case <-returned:
		t.Error("a call that ended after the failure returned")
	default:
	}
}

type slowFile struct {
	vfs.File
	begun, finish chan struct{}
}

func (f slowFile) Sync() error {
	close(f.begun)
	<-f.finish
	return nil
}

func TestPebblesFatalIsAFailure(t *testing.T) {
	reported := make(chan error, 1)
	o := memOptions(vfs.NewMem())
	o.OnFailure = func(err error) { reported <- err }
	s := mustOpenWith(t, o)
	returned := make(chan struct{})
	go func() {
		pebbleLog{s.log, s.fence}.Fatalf("no %s", "way")
		close(returned)
	}()
	select {
	case err := <-reported:
		wantError(t, err, ErrFailed, "no way")
	case <-time.After(patience):
		t.Fatal("no report")
	}
	wantError(t, s.Close(), ErrFailed)
	select {
	case <-returned:
		t.Error("Fatalf returned")
	default:
	}
}

// Removing what is not there is no failure of the disk.
func TestRemovingNothingIsNoFailure(t *testing.T) {
	f := newFence(vfs.NewMem())
	if f.Remove("nothing") == nil || f.failure() != nil {
		t.Error(f.failure())
	}
}

func TestCloseWhileTheDiskFails(t *testing.T) {
	d := newDisk(vfs.NewMem())
	s, err := Open(dataDir, memOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	g := mustGroup(t, s, "g")
	mustWrite(t, s, &Batch{Group: g, First: 1, Entries: run(1, 1, 3), HardState: HardState{Term: 1}})
	d.inject(on(syscall.EIO, ".log", errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileWrite))
	within(t, "Close", func() { wantError(t, s.Close(), ErrFailed, "input/output error") })
}

func TestTheDiskFailsWhileAGroupIsFounded(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := newDisk(mem)
	s, err := Open(dataDir, memOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	d.inject(on(syscall.EIO, ".log", errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileWrite))
	within(t, "Group", func() {
		_, err := s.Group("g", nil)
		wantError(t, err, ErrFailed, "input/output error")
	})
	within(t, "Close", func() { wantError(t, s.Close(), ErrFailed) })
	s = mustOpen(t, crash(mem))
	if groups, err := s.Groups(); err != nil || len(groups) != 0 {
		t.Errorf("groups %v, %v", groups, err)
	}
}

var _ pebble.Logger = pebbleLog{}
