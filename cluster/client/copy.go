package client

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// call is one copy of a request on its way to a server.
type call struct {
	// kind is the field of a messages.Call that body is in.
	kind protowire.Number
	body []byte
	ctx  context.Context // ends the call when it is cancelled
	// deadline ends it, too. The server is told how long that is.
	deadline  time.Time
	timeoutMs uint32
	// explained: a server that is late says why, and has less time, so that its word comes before the deadline.
	explained bool
	// woken is told once, when there is a reply.
	woken chan struct{}

	// Guarded by the stream's mutex. The reply is the caller's as soon as it is woken.
	id         uint64
	sent, told bool
	reply      reply
}

// reply is what became of a call.
type reply struct {
	answer answered
	// err is why there is no answer.
	err error
	// sent is false when the call has certainly not left.
	sent bool
}

// newCall is a copy that nobody else uses.
func newCall(kind protowire.Number, body []byte) *call {
	c := calls.Get().(*call)
	c.kind, c.body = kind, body
	return c
}

// calls are for reuse.
var calls = sync.Pool{New: func() any { return &call{woken: make(chan struct{}, 1)} }}

// wait returns the reply. The call must not be used after that.
func (c *call) wait() reply {
	<-c.woken
	r := c.reply
	if r.err == nil { // its stream has forgotten it: one without an answer stays among those that are pending
		*c = call{woken: c.woken}
		calls.Put(c)
	}
	return r
}

// settle gives the call its reply, and says whether the caller is to be woken: the first reply counts. The stream's mutex is held.
func (c *call) settle(r reply) bool {
	if c.told {
		return false
	}
	c.told, c.reply = true, r
	return true
}

func (c *call) wake() { c.woken <- struct{}{} }

// end ends the call without an answer. The stream's mutex is held.
func (c *call) end(err error) {
	if c.settle(reply{err: err, sent: c.sent}) {
		c.wake()
	}
}

// expire says whether nobody waits for the call any more. The stream's mutex is held.
func (c *call) expire(now time.Time) bool {
	if err := c.ctx.Err(); err != nil {
		c.end(err)
	} else if !now.Before(c.deadline) {
		c.end(context.DeadlineExceeded)
	}
	return c.told
}
