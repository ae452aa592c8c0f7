package typed

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/cluster/client"
)

// call is the sender of one piece of mail: replies do not say what they answer. It is no actor and has no mailbox. Nobody waits for it.
type call struct {
	system *actor.ActorSystem
	pid    *actor.PID
	open   func(*client.Reply) any
	answer func(any)
	over   atomic.Bool
	timer  *time.Timer
}

var _ actor.Process = (*call)(nil)

// newCall answers once: with what it makes of the reply, or with the error that says that it is late.
func newCall(system *actor.ActorSystem, timeout time.Duration, open func(*client.Reply) any, late error, answer func(any)) *call {
	c := &call{system: system, open: open, answer: answer}
	c.pid, _ = system.ProcessRegistry.Add(c, "typed"+system.ProcessRegistry.NextID())
	c.timer = time.AfterFunc(timeout, func() { // the actor behind was stopped with the mail in its mailbox, as a rule
		c.end(fmt.Errorf("%w: no answer within %v (%w)", late, timeout, context.DeadlineExceeded))
	})
	return c
}

// SendUserMessage implements actor.Process.
func (c *call) SendUserMessage(_ *actor.PID, message any) {
	switch m := actor.UnwrapEnvelopeMessage(message).(type) {
	case *client.Reply:
		c.timer.Stop()
		c.end(c.open(m))
	case *actor.DeadLetterResponse: // nobody took the mail
		c.timer.Stop()
		c.end(fmt.Errorf("%w: the actor behind was stopped", client.ErrUnavailable))
	}
}

// SendSystemMessage implements actor.Process.
func (c *call) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (c *call) Stop(*actor.PID) {}

func (c *call) end(answer any) {
	if c.over.CompareAndSwap(false, true) {
		c.system.ProcessRegistry.Remove(c.pid)
		c.answer(answer)
	}
}
