package simulation

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// disk is a node's file system in memory, and a model of what was synced to it.
type disk struct {
	fs     *vfs.MemFS
	slow   time.Duration // a commit takes up to this much longer
	fail   atomic.Int32  // the failure that is due; Pebble's own goroutines look, too
	panics bool          // a state machine panics at its next batch or query
	failed chan struct{} // closed when the store gave up
	// writing is the journal's commit that has not reached the disk.
	writing func()

	groups  []stored
	groupOf map[persistence.GroupID]int
}

// stored is what a group has on a disk.
type stored struct {
	hard    persistence.HardState
	entries []entryID // from index 1 on
	// later hard states were written without a sync, since they promise nothing: a crash may keep any of them.
	later []persistence.HardState
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
	return &disk{fs: vfs.NewCrashableMem(), groups: make([]stored, groups), groupOf: map[persistence.GroupID]int{}}
}

// breaks lets the disk fail in this way at its next occasion, or not at all.
func (d *disk) breaks(f failure) { d.fail.Store(int32(f)) }

var errInjected = errors.New("input/output error (simulated)")

// faulty is the file system with the failures that are due. Only the write-ahead log is hit: what Pebble writes in the background
// has no place in the order of a run.
func (d *disk) faulty() vfs.FS {
	return errorfs.Wrap(d.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		due := failure(d.fail.Load())
		switch kind := op.Kind; {
		case kind == errorfs.OpFileWrite && (due == onWrite || due == whenFull),
			due == onSync && (kind == errorfs.OpFileSync || kind == errorfs.OpFileSyncData || kind == errorfs.OpFileSyncTo):
			if due != whenFull {
				d.breaks(none)
			}
			return errInjected
		}
		return nil
	}))
}

// execute is the journal's executor: the commit reaches the disk after a while, or never.
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

// write does the work on another goroutine, since a store that failed never returns, and waits for either.
func (d *disk) write(n *node) {
	work := d.writing
	d.writing = nil
	failing := failure(d.fail.Load())
	done := make(chan struct{})
	go func() {
		work()
		close(done)
	}()
	select {
	case <-done:
	case <-d.failed:
		n.w.hit(faultOf[failing])
		n.w.note("the disk of %s failed", n.id)
		for _, door := range n.doors {
			door.StorageFailed(errInjected)
		}
	}
}

// recorder is the store as the journal sees it: what is committed goes into the model, too.
type recorder struct{ n *node }

func (r recorder) Commit(batches []*persistence.Batch) error {
	if err := r.n.store.Commit(batches); err != nil {
		if r.n.store.Failed() != nil {
			select {} // as most commits end on a failed disk: the run goes on without them
		}
		return err
	}
	sync := slices.ContainsFunc(batches, func(b *persistence.Batch) bool { return b.Sync })
	for _, b := range batches {
		r.n.disk.record(b)
	}
	if sync {
		r.n.disk.synced()
	}
	return nil
}

func (d *disk) record(b *persistence.Batch) {
	s := &d.groups[d.groupOf[b.Group]]
	s.later = append(s.later, b.HardState)
	if len(b.Entries) == 0 {
		return
	}
	s.entries = s.entries[:b.First-1]
	for _, e := range b.Entries {
		s.entries = append(s.entries, identify(e))
	}
}

// synced: a sync covers all that was written before it.
func (d *disk) synced() {
	for g := range d.groups {
		if s := &d.groups[g]; len(s.later) > 0 {
			s.hard, s.later = s.later[len(s.later)-1], s.later[:0]
		}
	}
}

// compare holds what a store recovered against the model.
func (d *disk) compare(g int, got persistence.Recovered) error {
	want := &d.groups[g]
	if slices.Contains(want.later, got.HardState) {
		want.hard = got.HardState
	}
	want.later = nil
	if got.HardState != want.hard || got.Last != uint64(len(want.entries)) {
		return fmt.Errorf("group %d has %+v and %d entries, but %+v and %d were synced", g, got.HardState, got.Last, want.hard, len(want.entries))
	}
	span := -1
	for i, e := range want.entries {
		for span+1 < len(got.Spans) && got.Spans[span+1].First == uint64(i)+1 {
			span++
		}
		if got.Spans[span].Term != e.term {
			return fmt.Errorf("group %d has term %d at %d, but %d was synced", g, got.Spans[span].Term, i+1, e.term)
		}
	}
	return nil
}

// entryID is what makes an entry the same as another: term and contents.
type entryID struct{ term, hash uint64 }

func identify(encoded messages.EncodedEntry) entryID {
	e, err := messages.DecodeEntry(encoded)
	if err != nil {
		panic(err)
	}
	return entryID{e.Term, contents(e.Kind, e.Data)}
}

func contents(kind messages.Entry_Kind, data []byte) uint64 {
	var t trace
	t.number(uint64(kind))
	t.bytes(data)
	return t.hash
}

// rot flips one bit in the store, where the seed says.
func (d *disk) rot(w *world) error {
	db, err := pebble.Open(directory, &pebble.Options{FS: d.fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
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
