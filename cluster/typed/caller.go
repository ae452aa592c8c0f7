package typed

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

// Group is what a [Caller] needs of a group; *cluster.Group is one.
type Group interface {
	Propose(ctx context.Context, command []byte, options ...cluster.ProposeOption) (cluster.Result, error)
	Query(ctx context.Context, options cluster.ReadOptions, query []byte) (cluster.Result, error)
}

// Caller asks a group that runs a [Protocol.StateMachine]. It is safe for concurrent use. Its errors are those of the group or of the
// client that it goes through, and [ErrNoSuchMessage] when the group's answer is not of this protocol. A command with such a result took
// effect: the error is a [client.ErrAnswerNotKept], too.
type Caller[Command, Result, Query, Answer proto.Message] struct {
	propose func(context.Context, []byte) (cluster.Result, error)
	read    func(context.Context, client.Read, []byte) (cluster.Result, error)
}

// At asks a group on this node.
func (Protocol[C, R, Q, A]) At(g Group) Caller[C, R, Q, A] {
	return Caller[C, R, Q, A]{
		propose: func(ctx context.Context, b []byte) (cluster.Result, error) { return g.Propose(ctx, b) },
		read: func(ctx context.Context, how client.Read, b []byte) (cluster.Result, error) {
			read := actors.Read{Consistency: how.Consistency, MaxStaleness: how.MaxStaleness}
			return g.Query(ctx, cluster.ReadOptions{Read: read, MinIndex: how.MinIndex}, b)
		},
	}
}

// Through asks a group through a client. An empty name is the first group that the nodes started.
func (Protocol[C, R, Q, A]) Through(c *client.Client, group string) Caller[C, R, Q, A] {
	return Caller[C, R, Q, A]{
		propose: func(ctx context.Context, b []byte) (cluster.Result, error) {
			r, err := c.Submit(ctx, group, b)
			return cluster.Result(r), err
		},
		read: func(ctx context.Context, how client.Read, b []byte) (cluster.Result, error) {
			r, err := c.Query(ctx, group, how, b)
			return cluster.Result(r), err
		},
	}
}

// Propose has a command applied, exactly once, and returns its result.
func (c Caller[C, R, Q, A]) Propose(ctx context.Context, command C) (result R, err error) {
	b, err := encode(command)
	if err != nil {
		return result, err
	}
	r, err := c.propose(ctx, b)
	if err != nil {
		return result, err
	}
	return decodeResult[R](r.Value)
}

// Read reads linearizably: the answer reflects every command that was answered before the call.
func (c Caller[C, R, Q, A]) Read(ctx context.Context, query Q) (answer A, err error) {
	return c.ReadAs(ctx, client.Read{}, query)
}

// ReadAs is Read with another consistency.
func (c Caller[C, R, Q, A]) ReadAs(ctx context.Context, how client.Read, query Q) (answer A, err error) {
	b, err := encode(query)
	if err != nil {
		return answer, err
	}
	r, err := c.read(ctx, how, b)
	if err != nil {
		return answer, err
	}
	return decode[A](r.Value)
}
