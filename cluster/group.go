package cluster

import (
	"context"
	"fmt"
	"slices"
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
	// courier goes to the leader, wherever that is.
	courier *courier
	// configuration is the one in force, as the server said last; nil before it runs.
	configuration atomic.Pointer[actors.Configuration]
	// hints are where members may be, besides what the configuration says.
	hints []actors.Member
	// launched is closed when the server runs.
	launched chan struct{}
	// moving: the group is being told where this node is.
	moving atomic.Bool
	// stopped is closed when the node has stopped the group, or when its start failed.
	stopped chan struct{}
	// facade is the group's actor in the application's actor system, nil without one.
	facade *actor.PID
	// snapshotCallers wait for a snapshot.
	snapshotCallers atomic.Int32
}

// Result is what a command or a read came to.
type Result struct {
	// Index is the command's place in the log; a read's answer reflects the log up to here.
	Index uint64
	// Value is what the state machine returned; it must not be changed.
	Value []byte
}

func newGroup(name string, n *Node) *Group {
	return &Group{name: name, node: n, launched: make(chan struct{}), stopped: make(chan struct{})}
}

func (g *Group) awaitLaunch() {
	select {
	case <-g.launched:
	case <-g.stopped:
	}
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

// ProposeOption changes how a command is proposed.
type ProposeOption uint8

// AtMostOnce leaves the session out: the command is sent once, to the leader that is known now, and never again.
const AtMostOnce ProposeOption = 1

// Propose replicates a command and applies it on every node, exactly once; any member may be asked. It returns when the leader applied it,
// with the state machine's result. The command belongs to the group from then on: it must never be changed. While no leader takes it, or
// its answer is lost, it is sent again, in this node's session with the group (thesis 6.3).
//
// Errors are those of package actors. After [actors.ErrOutcomeUnknown] the command may or may not take effect; after any other error but a
// [*actors.RejectedError], which is the state machine's own answer, it never does. When ctx is done the waiting ends, the error is
// ctx.Err() as well, and the outcome is unknown only if a copy of the command may still be on its way. Without a deadline in ctx the call
// waits about five seconds.
func (g *Group) Propose(ctx context.Context, command []byte, options ...ProposeOption) (Result, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("the command was not proposed: %w", err)
	}
	e := errand{courier: g.courier, data: command, plain: slices.Contains(options, AtMostOnce)}
	a, err := g.node.calls.waiter().do(ctx, e)
	return Result{Index: a.Index, Value: a.Value}, err
}

// Read asks the state machine, linearizably: the answer reflects every command that was answered before the call. Any member may be asked;
// it waits for its leader, unless too many reads wait already. Without a deadline in ctx the call waits about five seconds. The query must
// never be changed afterwards.
func (g *Group) Read(ctx context.Context, query []byte) ([]byte, error) {
	r, err := g.read(ctx, actors.Read{}, query)
	return r.Value, err
}

// ReadStale asks the state machine of this node, whether it leads or not, and even when its storage failed: the answer reflects
// what this node has applied, however old that is.
func (g *Group) ReadStale(ctx context.Context, query []byte) ([]byte, error) {
	r, err := g.read(ctx, actors.Read{Consistency: actors.Stale}, query)
	return r.Value, err
}

func (g *Group) read(ctx context.Context, how actors.Read, query []byte) (Result, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if a, ok := g.door.ReadNow(how, query); ok {
		return Result{Index: a.Index, Value: a.Value}, a.Err
	}
	a, err := g.node.calls.waiter().do(ctx, errand{courier: g.courier, data: query, read: &how, looks: true})
	return Result{Index: a.Index, Value: a.Value}, err
}

// PID is the group's actor in the application's actor system, or nil when the node was started without [WithActorSystem].
// It takes *[Propose] and *[Read], and the mail that an actor of [client.Spawn] takes, *[client.Submit] and *[client.Query]: this node does
// the work, and errors match those of package client as well. It replies with *[Reply].
func (g *Group) PID() *actor.PID { return g.facade }
