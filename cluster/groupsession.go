package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// ReadOptions say what a read may miss. The zero value is linearizable.
type ReadOptions struct {
	actors.Read
	// MinIndex is waited for: the answer reflects the entry at this index, and all before it.
	MinIndex uint64
}

// Submit is [Group.Propose] for a command of a session: however often it is submitted, at whatever members, it takes effect once, and each
// submission gets its first answer. The zero session is none.
func (g *Group) Submit(ctx context.Context, session messages.SessionCommand, command []byte) (Result, error) {
	if err := session.Check(); err != nil {
		return Result{}, err
	}
	return g.submit(ctx, func(c actors.Caller) { g.door.ProposeIn(session, command, c) })
}

// OpenSession opens a session. The nonce is random: whoever opens again with the same one, because the outcome was unknown, gets the same
// session.
func (g *Group) OpenSession(ctx context.Context, nonce uint64) (actors.OpenedSession, error) {
	r, err := g.submit(ctx, func(c actors.Caller) { g.door.OpenSession(nonce, c) })
	if err != nil {
		return actors.OpenedSession{}, err
	}
	return actors.DecodeOpenedSession(r.Value)
}

// CloseSession ends a session, which may have ended before.
func (g *Group) CloseSession(ctx context.Context, id messages.SessionID) error {
	_, err := g.submit(ctx, func(c actors.Caller) { g.door.CloseSession(id, c) })
	return err
}

func (g *Group) submit(ctx context.Context, door func(actors.Caller)) (Result, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("the command was not proposed: %w", err)
	}
	w := g.node.calls.waiter()
	door(w)
	a, err := w.wait(ctx)
	if err != nil {
		return Result{}, &unknownError{err}
	}
	return Result{Index: a.Index, Value: a.Value}, a.Err
}

// Query is [Group.Read] with options. The result's index is up to where the answer reflects the log.
func (g *Group) Query(ctx context.Context, options ReadOptions, query []byte) (Result, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if options.MinIndex > g.door.Status().AppliedIndex {
		if err := g.waitApplied(ctx, options.MinIndex); err != nil {
			return Result{}, err
		}
	}
	return g.read(ctx, options.Read, query)
}

// waitApplied waits until this node has applied the entry at index.
func (g *Group) waitApplied(ctx context.Context, index uint64) error {
	applied, giveUp, err := g.door.Applied(index)
	if err != nil {
		return err
	}
	defer giveUp()
	var late <-chan time.Time
	if _, has := ctx.Deadline(); !has {
		timer := time.NewTimer(defaultTimeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-applied:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-late:
		err = errNoAnswer
	case <-g.node.calls.stopped:
		err = actors.ErrClosed
	}
	return &actors.BehindIndexError{Index: index, Applied: g.door.Status().AppliedIndex, Cause: err}
}
