package simulation

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/persistence"
)

// disk is a node's file system in memory, and a model of what was synced to it.
type disk struct {
	fs      *vfs.MemFS
	slow    time.Duration // a write takes up to this much longer
	fail    atomic.Int32  // the failure that is due; Pebble's own goroutines look, too
	failing atomic.Int32  // the one that happened in this incarnation
	panics  bool          // a state machine panics at its next batch or query
	double  bool          // the group was founded with another disk of the node
	failed  chan struct{} // closed when the store gave up
	syncs   atomic.Uint64 // of the write-ahead log so far
	// failSnapshot: the next write or sync of a snapshot's file fails.
	failSnapshot    atomic.Bool
	failedSnapshots int
	// writing is the journal's write that has not reached the disk.
	writing func()

	groups  []stored
	groupOf map[persistence.GroupID]int
}

type failure int32

const (
	none failure = iota
	onWrite
	onSync
	whenFull
)

var faultOf = map[failure]Fault{onWrite: WriteError, onSync: SyncError, whenFull: DiskFull}

func newDisk(groups int) *disk {
	return &disk{fs: vfs.NewCrashableMem(), groups: newStored(groups), groupOf: map[persistence.GroupID]int{}}
}

// breaks lets the disk fail in this way at its next occasion, or not at all.
func (d *disk) breaks(f failure) {
	d.fail.Store(int32(f))
	d.failing.Store(int32(none))
}

var errInjected = errors.New("input/output error (simulated)")

// fails says whether this failure is due, once; a full disk stays so.
func (d *disk) fails(f failure) bool {
	is := f == whenFull && failure(d.fail.Load()) == f || f != whenFull && d.fail.CompareAndSwap(int32(f), int32(none))
	if is {
		d.failing.Store(int32(f))
	}
	return is
}

// execute is the journal's executor: the write reaches the disk after a while, or never.
func (n *node) execute(work func()) {
	n.disk.writing = work
	wait := n.w.between(20*time.Microsecond, 400*time.Microsecond)
	if n.disk.slow > 0 {
		wait += n.w.between(n.disk.slow/4, n.disk.slow)
	}
	incarnation := n.incarnation
	n.w.after(wait, func() {
		if n.incarnation == incarnation && n.disk.writing != nil {
			n.disk.write(n)
		}
	})
}

// runAside is the executor of what snapshots need: works reach the disk after a while, in any order, or never.
func (n *node) runAside(work func()) {
	wait := n.w.between(20*time.Microsecond, 2*time.Millisecond)
	if n.disk.slow > 0 {
		wait += n.w.between(0, n.disk.slow/4)
	}
	incarnation := n.incarnation
	n.w.after(wait, func() {
		if n.incarnation == incarnation {
			work()
		}
	})
}

// write does the work on another goroutine, since a store that failed never returns, and waits for either.
func (d *disk) write(n *node) {
	work := d.writing
	d.writing = nil
	done := make(chan struct{})
	go func() {
		work()
		close(done)
	}()
	select {
	case <-done:
	case <-d.failed:
		failing := failure(d.failing.Load())
		if failing == none {
			n.w.fail("a store fails only with its disk", "%s: %v", n.id, n.store.Failed())
		}
		n.w.hit(faultOf[failing])
		n.w.note("the disk of %s failed: %v", n.id, n.store.Failed())
		for _, door := range n.doors {
			door.StorageFailed(errInjected)
		}
	}
}

// syncFolders makes durable which snapshots there are: a file system may do so at any time, and so a file that was removed is gone.
func (d *disk) syncFolders() {
	for g := range d.groups {
		folder, err := d.fs.OpenDir(fmt.Sprintf("%s/snapshots/%d", directory, g+1))
		if err == nil {
			_ = folder.Sync()
			_ = folder.Close()
		}
	}
}

// rot flips one bit in the store, where the seed says.
func (d *disk) rot(w *world) error {
	db, err := pebble.Open(directory, &pebble.Options{
		FS: d.fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true,
	})
	if err != nil {
		return err
	}
	var keys, values [][]byte
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if len(it.Value()) > 0 {
			keys = append(keys, append([]byte(nil), it.Key()...))
			values = append(values, append([]byte(nil), it.Value()...))
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	i := w.rng.IntN(len(keys))
	values[i][w.rng.IntN(len(values[i]))] ^= 1 << w.rng.IntN(8)
	if err := db.Set(keys[i], values[i], pebble.Sync); err != nil {
		return err
	}
	return db.Close()
}

// rollBack puts an older database back. The side file stays: when it is older, too, nothing on the disk tells.
func (d *disk) rollBack(older *vfs.MemFS) error {
	side := directory + "/SEQUENCE"
	from, err := d.fs.Open(side)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	to, err := older.Create(side, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = to.Write(content)
	if err := errors.Join(err, to.Sync(), to.Close(), from.Close()); err != nil {
		return err
	}
	d.fs = older
	return nil
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
