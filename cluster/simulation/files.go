package simulation

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// files is a disk's file system, with the failures that are due. Only the write-ahead log and the files of snapshots fail: what Pebble
// writes in the background has no place in the order of a run.
type files struct {
	vfs.FS
	d *disk
}

func (f files) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if err == nil && strings.Contains(name, "/snapshots/") {
		return &snapshotFile{File: file, d: f.d}, nil
	}
	return f.log(name, file, err)
}

// snapshotFile fails once when its disk's snapshots are to fail: that is the end of the snapshot, not of the node.
type snapshotFile struct {
	vfs.File
	d *disk
}

func (f *snapshotFile) fails() error {
	if f.d.failSnapshot.CompareAndSwap(true, false) {
		f.d.failedSnapshots++
		return errInjected
	}
	return nil
}

func (f *snapshotFile) Write(p []byte) (int, error) {
	if err := f.fails(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *snapshotFile) Sync() error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f files) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.log(newname, file, err)
}

func (f files) Unwrap() vfs.FS { return f.FS }

func (f files) log(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &logFile{File: file, d: f.d}, nil
}

// logFile is one file of the write-ahead log.
type logFile struct {
	vfs.File
	d *disk
	// lost says that a sync failed and took with it what was not synced: some page caches drop what they could not write.
	// Later syncs succeed, but nothing behind the hole is ever found again.
	lost atomic.Bool
}

func (f *logFile) Write(p []byte) (int, error) {
	if f.d.fails(onWrite) || f.d.fails(whenFull) {
		return 0, errInjected
	}
	return f.File.Write(p)
}

func (f *logFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *logFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *logFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *logFile) sync(do func() error) error {
	if f.d.fails(onSync) {
		f.lost.Store(true)
		return errInjected
	}
	f.d.syncs.Add(1)
	if f.lost.Load() {
		return nil
	}
	return do()
}
