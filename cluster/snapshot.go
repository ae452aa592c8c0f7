package cluster

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Snapshot is an open snapshot file of a group, as it is on the disk: a backup. It stays as it is when the group takes newer ones.
// It belongs to one goroutine, which closes it.
type Snapshot struct {
	io.SectionReader
	file *persistence.SnapshotReader
}

// Index and Term are those of the last entry that the snapshot has the effects of.
func (s *Snapshot) Index() uint64 { return s.file.Header().GetLastIncludedIndex() }
func (s *Snapshot) Term() uint64  { return s.file.Header().GetLastIncludedTerm() }

// Close closes the file.
func (s *Snapshot) Close() error { return s.file.Close() }

// Snapshot opens a snapshot that has the effects of all commands that were answered before the call. Only the leader can; elsewhere the
// error is a [*actors.NotLeaderError]. With local it has what this node has applied, however old that is, whether it leads or not. Unless
// there is such a snapshot, one is taken first, which takes as long as it takes to write the state: only ctx ends the waiting.
func (g *Group) Snapshot(ctx context.Context, local bool) (*Snapshot, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if !local {
		if err := g.barrier(ctx); err != nil {
			return nil, err
		}
	}
	return g.snapshot(ctx)
}

// barrier waits until this node has applied all that was answered before.
func (g *Group) barrier(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	w := g.node.calls.waiter()
	g.door.Barrier(w)
	a, err := w.wait(ctx)
	return cmp.Or(err, a.Err)
}

// reopenings bounds how often a file is removed, because a newer one took its place, just before it is opened.
const reopenings = 10

func (g *Group) snapshot(ctx context.Context) (*Snapshot, error) {
	for again := 0; ; again++ {
		pointer, err := g.pointer(ctx)
		if err != nil {
			return nil, err
		}
		file, err := g.node.store.OpenSnapshot(g.number, pointer)
		switch {
		case err == nil:
			return &Snapshot{*io.NewSectionReader(file, 0, int64(pointer.Bytes)), file}, nil
		case !errors.Is(err, fs.ErrNotExist) || again == reopenings:
			return nil, err
		}
	}
}

// mostSnapshotCallers bounds who waits for a snapshot of a group at a time, those included that have given up: a server must not get
// mail without bounds, and they hold what clients share.
const mostSnapshotCallers = 16

func (g *Group) pointer(ctx context.Context) (*messages.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if g.snapshotCallers.Add(1) > mostSnapshotCallers {
		g.snapshotCallers.Add(-1)
		return nil, actors.ErrOverloaded
	}
	w := &snapshotWaiter{g, make(chan snapshotAnswer, 1)}
	g.door.Snapshot(w)
	select {
	case a := <-w.answer:
		return a.pointer, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// snapshotWaiter is one call that waits for a snapshot.
type snapshotWaiter struct {
	group  *Group
	answer chan snapshotAnswer
}

type snapshotAnswer struct {
	pointer *messages.Snapshot
	err     error
}

// Snapshot implements actors.SnapshotCaller.
func (w *snapshotWaiter) Snapshot(pointer *messages.Snapshot, err error) {
	w.group.snapshotCallers.Add(-1)
	w.answer <- snapshotAnswer{pointer, err}
}
