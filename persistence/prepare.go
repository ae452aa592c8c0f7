package persistence

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// prepared lets a new write-ahead log begin in a file that has its blocks: in the spare file, which PrepareLog filled with zeros while
// nobody waited, or in a new file that is filled first. A sync within such a file is a third shorter than one at its growing
// end, more when several files are synced at a time. Pebble uses the files again and again: after each start it makes seven or so,
// as they are needed, 90 to 150 MiB with the default memtables.
type prepared struct {
	vfs.FS
	bytes int
}

const (
	// walCategory is what Pebble calls its write-ahead logs.
	walCategory = "pebble-wal"

	spareName = "SPARE"
	// fillingName is the name of the spare file until it is full: no log may begin in a file that is still written to.
	fillingName = "SPARE.new"
	// usedName is the name of a log that is not needed any more.
	usedName = "USED"

	fillBytes = 256 << 10
	fillShare = 10 // PrepareLog takes a tenth of the disk's time
	fillPause = 200 * time.Millisecond
	// fillSpare times its size must be free for a spare file to be made: nobody needs it when the disk is nearly full.
	fillSpare = 8
)

var zeros [fillBytes]byte

func (p prepared) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category != walCategory {
		return p.FS.Create(name, category)
	}
	err := p.Rename(p.PathJoin(p.PathDir(name), spareName), name)
	if oserror.IsNotExist(err) {
		err = p.fill(name)
	}
	if err != nil {
		return nil, err
	}
	return p.OpenReadWrite(name, category)
}

func (p prepared) fill(name string) error {
	file, err := p.FS.Create(name, walCategory)
	if err != nil {
		return err
	}
	for left := p.bytes; left > 0 && err == nil; left -= fillBytes {
		_, err = file.Write(zeros[:min(left, fillBytes)])
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Remove leaves a log to PrepareLog: giving its blocks back holds up syncs, those of a start above all.
func (p prepared) Remove(name string) error {
	if filepath.Ext(name) == ".log" {
		return p.Rename(name, p.PathJoin(p.PathDir(name), usedName))
	}
	return p.FS.Remove(name)
}

func (p prepared) Unwrap() vfs.FS { return p.FS }

// PrepareLog fills the file in which the next new write-ahead log will begin, unless there is one: a start, and a write for which
// the present log is too small, then need not wait for it. It takes its time, for the sake of writes, and ends early when the Store
// is closed. A node calls it now and then, never twice at a time.
func (s *Store) PrepareLog() error {
	size := logBytes(s.options.FS)
	if size == 0 {
		return nil
	}
	if err := s.beginRead(); err != nil { // Close waits
		return err
	}
	defer s.reads.Done()
	spare, filling := s.fence.PathJoin(s.dir, spareName), s.fence.PathJoin(s.dir, fillingName)
	if err := s.fence.Remove(s.fence.PathJoin(s.dir, usedName)); err != nil && !oserror.IsNotExist(err) {
		return err
	}
	if _, err := s.fence.Stat(spare); !oserror.IsNotExist(err) {
		return err
	}
	if usage, err := s.fence.GetDiskUsage(s.dir); err == nil && usage.AvailBytes < fillSpare*uint64(size) {
		return nil
	}
	file, err := s.fence.Create(filling, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := errors.Join(s.fillSlowly(file, size), file.Close()); err != nil {
		return err
	}
	return s.fence.Rename(filling, spare)
}

// fillSlowly syncs each piece, so that a write's sync may have to wait for one, but never for all.
func (s *Store) fillSlowly(file vfs.File, size int) error {
	for left := size; left > 0; left -= fillBytes {
		if s.closed.Load() {
			return ErrClosed
		}
		begun := s.options.Now()
		if _, err := file.Write(zeros[:min(left, fillBytes)]); err != nil {
			return err
		}
		if err := file.SyncData(); err != nil {
			return err
		}
		time.Sleep(min((fillShare-1)*s.options.Now().Sub(begun), fillPause)) // Close waits for it
	}
	return nil
}

// logBytes is how many bytes of a new log are filled on the file system; 0: none.
func logBytes(fs vfs.FS) int {
	for ; fs != nil; fs = fs.Unwrap() {
		if p, ok := fs.(prepared); ok {
			return p.bytes
		}
	}
	return 0
}
