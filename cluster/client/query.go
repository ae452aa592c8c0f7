package client

import (
	"context"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Read says what a read may miss. The zero value is a linearizable read.
type Read struct {
	Consistency actors.Consistency
	// MaxStaleness is for actors.Bounded.
	MaxStaleness time.Duration
	// MinIndex is an entry that the answer reflects. It is waited for until the deadline.
	MinIndex uint64
}

// Query asks the state machine of a group. An empty group is the first that the nodes started.
func (c *Client) Query(ctx context.Context, group string, how Read, query []byte) (Result, error) {
	request := &messages.QueryRequest{
		Group: group, Query: query, Consistency: messages.Consistency(how.Consistency),
		MaxStalenessMs: uint64(max(how.MaxStaleness.Milliseconds(), 0)), MinIndex: how.MinIndex,
	}
	r := &plain{template: &messages.Call{Call: &messages.Call_Query{Query: request}}, bytes: len(query)}
	if err := c.ask(ctx, r); err != nil {
		return Result{}, err
	}
	a := r.answer.GetQueried()
	return Result{Index: a.GetIndex(), Value: a.GetValue()}, nil
}
