package cluster

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/persistence"
)

// Group is this node's part of one replicated group. It is safe for concurrent use.
type Group struct {
	name   string
	number persistence.GroupID
	node   *Node
	door   *actors.Door
	// configuration is the one in force, as the server said last; nil before it runs.
	configuration atomic.Pointer[actors.Configuration]
	// facade is the group's actor in the application's actor system, nil without one.
	facade *actor.PID
	// snapshotCallers wait for a snapshot.
	snapshotCallers atomic.Int32
}

// Result is what a command came to.
type Result struct {
	// Index is the command's place in the log.
	Index uint64
	// Value is what the state machine returned for it; it must not be changed.
	Value []byte
}

// Name is the group's name.
func (g *Group) Name() string { return g.name }

// Members are those of the configuration in force, in the order of ids.
func (g *Group) Members() []actors.Member {
	if c := g.configuration.Load(); c != nil {
		return c.Members()
	}
	return nil
}

// Status is what this node's server says of itself. It costs nothing.
func (g *Group) Status() actors.Status { return g.door.Status() }

// WaitReady waits until this node can serve: a leader is known, and what it had committed is applied here. (Only the leader takes
// commands.) The error says what is missing when ctx is done, or that the group can never serve on this node again.
func (g *Group) WaitReady(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	for {
		changed := g.door.Changed()
		s := g.Status()
		if err := g.failed(s); err != nil {
			return fmt.Errorf("group %s cannot serve: %w", g.name, err)
		}
		if s.Unready == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("group %s is not ready: %w (%w)", g.name, s.Unready, ctx.Err())
		}
	}
}

// Propose replicates a command and applies it on every node. It returns when this node applied it, with the state machine's
// result. The command belongs to the group from then on: it must never be changed.
//
// Errors are those of package actors. A [*actors.NotLeaderError] says which node to ask. After
// [actors.ErrOutcomeUnknown] the command may or may not take effect; after any other error but a
// [*actors.RejectedError], which is the state machine's own answer, it never does. Cancelling ctx ends the waiting only: the
// outcome is then unknown, and the error is ctx.Err() as well. Without a deadline in ctx the call waits about five seconds.
func (g *Group) Propose(ctx context.Context, command []byte) (Result, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("the command was not proposed: %w", err)
	}
	w := waiters.Get().(*waiter)
	g.door.Propose(command, w)
	a, err := w.wait(ctx, g.node.expiry)
	if err != nil {
		return Result{}, &unknownError{err}
	}
	return Result{Index: a.Index, Value: a.Value}, a.Err
}

// Read asks the state machine, linearizably: the answer reflects every command that was answered before the call. Only the
// leader can; elsewhere the error is a [*actors.NotLeaderError]. Without a deadline in ctx the call waits about five seconds.
// The query must never be changed afterwards.
func (g *Group) Read(ctx context.Context, query []byte) ([]byte, error) {
	return g.ask(ctx, query, g.door.Query)
}

// ReadStale asks the state machine of this node, whether it leads or not, and even when its storage failed: the answer reflects
// what this node has applied, however old that is.
func (g *Group) ReadStale(ctx context.Context, query []byte) ([]byte, error) {
	return g.ask(ctx, query, g.door.QueryStale)
}

func (g *Group) ask(ctx context.Context, query []byte, door func([]byte, actors.Caller)) ([]byte, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := waiters.Get().(*waiter)
	door(query, w)
	a, err := w.wait(ctx, g.node.expiry)
	if err != nil {
		return nil, err
	}
	return a.Value, a.Err
}

// PID is the group's actor in the application's actor system, or nil when the node was started without [WithActorSystem].
// It takes *[Propose] and *[Read], and replies with *[Reply].
func (g *Group) PID() *actor.PID { return g.facade }
