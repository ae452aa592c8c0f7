package persistence

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// fence stands between Pebble and the file system. The first mutating call that fails is reported; it and every later
// one never return. Pebble must not see the error: it would retry for ever, acknowledge what it did not write, or die.
// Reads pass.
type fence struct {
	vfs.FS
	broken  atomic.Bool
	failing chan struct{} // closed when broken
	// working counts the mutating calls that are in the file system now.
	working atomic.Int64
	// abandoned: the directory's lock is given up once no call is working.
	abandoned atomic.Bool
	free      chan struct{} // closed when the lock was given up

	mu     sync.Mutex
	cause  error
	report func(error) // nil until armed
	lock   io.Closer
}

func newFence(fs vfs.FS) *fence {
	return &fence{FS: fs, failing: make(chan struct{}), free: make(chan struct{})}
}

// arm sets who is told of a failure. When there was one already, it is returned instead.
func (f *fence) arm(report func(error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == nil {
		f.report = report
	}
	return f.cause
}

// failure returns the first failure, or nil.
func (f *fence) failure() error {
	if !f.broken.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause
}

// fail makes err the failure unless there is one. It does not block.
func (f *fence) fail(err error) {
	f.mu.Lock()
	if f.cause != nil {
		f.mu.Unlock()
		return
	}
	f.cause = err
	report := f.report
	f.broken.Store(true)
	close(f.failing)
	f.mu.Unlock()
	if report != nil {
		report(err)
	}
}

func park() { select {} }

// enter starts a mutating call, leave ends it.
func (f *fence) enter() {
	f.working.Add(1)
	if f.broken.Load() {
		f.done()
		park()
	}
}

// leave returns only when the call succeeded and none has failed meanwhile: nothing is acknowledged after the report.
func (f *fence) leave(op, name string, err error) {
	f.done()
	if err != nil {
		f.fail(sayOf(ErrFailed, err,
			"the disk failed (%s %s), nothing more is stored: see to the disk, then start the node again", op, name))
	}
	if f.broken.Load() {
		park()
	}
}

// hold keeps the directory's lock until done is called. Unlike enter it fails when the fence is broken.
func (f *fence) hold() error {
	f.working.Add(1)
	if err := f.failure(); err != nil {
		f.done()
		return err
	}
	return nil
}

// done counts a mutating call out.
func (f *fence) done() {
	if f.working.Add(-1) == 0 && f.abandoned.Load() {
		f.unlock()
	}
}

// patienceOfAbandon is how long abandon waits for calls that are in the file system.
const patienceOfAbandon = time.Second

// abandon gives up the directory's lock after a failure, once no call is in the file system: it could write behind the
// back of the next owner. It waits a moment for such calls; when they hang, the last of them gives up the lock.
func (f *fence) abandon() {
	if !f.broken.Load() {
		return
	}
	f.abandoned.Store(true)
	if f.working.Load() == 0 {
		f.unlock()
		return
	}
	select {
	case <-f.free:
	case <-time.After(patienceOfAbandon):
	}
}

func (f *fence) unlock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock != nil {
		_ = f.lock.Close()
		f.lock = nil
		close(f.free)
	}
}

func (f *fence) Unwrap() vfs.FS { return f.FS }

func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.enter()
	file, err := f.FS.Create(name, category)
	f.leave("create", name, err)
	return f.writable(name, file), nil
}

func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f.enter()
	file, err := f.FS.OpenReadWrite(name, category, opts...)
	f.leave("open", name, err)
	return f.writable(name, file), nil
}

func (f *fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.enter()
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	f.leave("reuse as", newname, err)
	return f.writable(newname, file), nil
}

func (f *fence) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

func (f *fence) Link(oldname, newname string) error {
	f.enter()
	f.leave("link", newname, f.FS.Link(oldname, newname))
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	f.enter()
	f.leave("rename to", newname, f.FS.Rename(oldname, newname))
	return nil
}

// Remove lets "does not exist" through: that is no failure of the disk.
func (f *fence) Remove(name string) error {
	f.enter()
	err := f.FS.Remove(name)
	if oserror.IsNotExist(err) {
		f.leave("remove", name, nil)
		return err
	}
	f.leave("remove", name, err)
	return nil
}

func (f *fence) RemoveAll(name string) error {
	f.enter()
	f.leave("remove", name, f.FS.RemoveAll(name))
	return nil
}

func (f *fence) MkdirAll(dir string, perm os.FileMode) error {
	f.enter()
	f.leave("create directory", dir, f.FS.MkdirAll(dir, perm))
	return nil
}

// Lock remembers the lock, so that a Store that abandons its database can give the directory back.
func (f *fence) Lock(name string) (io.Closer, error) {
	f.enter()
	defer f.done()
	lock, err := f.FS.Lock(name)
	if err != nil {
		return nil, &lockError{err}
	}
	f.mu.Lock()
	f.lock = lock
	f.mu.Unlock()
	return unlocker{f}, nil
}

// lockError marks an error of FS.Lock.
type lockError struct{ error }

func (e *lockError) Unwrap() error { return e.error }

type unlocker struct{ fence *fence }

func (u unlocker) Close() error {
	u.fence.unlock()
	return nil
}

func (f *fence) writable(name string, file vfs.File) vfs.File {
	return &fencedFile{File: file, fence: f, name: name, written: true}
}

// fencedFile is a directory or a file that was opened for writing.
type fencedFile struct {
	vfs.File
	fence   *fence
	name    string
	written bool
}

func (w *fencedFile) Write(p []byte) (int, error) {
	w.fence.enter()
	n, err := w.File.Write(p)
	w.fence.leave("write", w.name, err)
	return n, nil
}

func (w *fencedFile) WriteAt(p []byte, offset int64) (int, error) {
	w.fence.enter()
	n, err := w.File.WriteAt(p, offset)
	w.fence.leave("write", w.name, err)
	return n, nil
}

func (w *fencedFile) Sync() error {
	w.fence.enter()
	w.fence.leave("fsync", w.name, w.File.Sync())
	return nil
}

func (w *fencedFile) SyncData() error {
	w.fence.enter()
	w.fence.leave("fsync", w.name, w.File.SyncData())
	return nil
}

func (w *fencedFile) SyncTo(length int64) (bool, error) {
	w.fence.enter()
	full, err := w.File.SyncTo(length)
	w.fence.leave("fsync", w.name, err)
	return full, nil
}

// Preallocate is advice that some file systems refuse; Pebble ignores the error. If the disk failed, the next write fails.
func (w *fencedFile) Preallocate(offset, length int64) error {
	w.fence.enter()
	err := w.File.Preallocate(offset, length)
	w.fence.leave("preallocate", w.name, nil)
	return err
}

func (w *fencedFile) Close() error {
	if !w.written {
		return w.File.Close()
	}
	w.fence.enter()
	w.fence.leave("close", w.name, w.File.Close())
	return nil
}
