package client

import (
	"context"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// Read says what a read may miss. The zero value is a linearizable read.
type Read struct {
	Consistency actors.Consistency
	// MaxStaleness is for actors.Bounded.
	MaxStaleness time.Duration
	// MinIndex is an entry that the answer reflects. It is waited for until shortly before the deadline; then the error says how far the
	// server got.
	MinIndex uint64
}

// Query asks the state machine of a group. An empty group is the first that the nodes started.
func (c *Client) Query(ctx context.Context, group string, how Read, query []byte) (Result, error) {
	r := &plain{kind: queryCall, body: encodeQuery(group, how, query), explained: how.MinIndex > 0}
	if err := c.ask(ctx, r); err != nil {
		return Result{}, err
	}
	return r.answer.result, nil
}
