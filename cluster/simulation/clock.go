package simulation

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// clock is one node's: it drifts, and may jump forward.
type clock struct {
	n           *node
	incarnation int
}

var epoch = time.Unix(1_000_000_000, 0)

func (c clock) Now() time.Time {
	return epoch.Add(time.Duration(float64(c.n.w.now)*c.n.drift) + c.n.jumped)
}

func (c clock) SinceBoot() time.Duration { return c.Now().Sub(epoch) + 1 }

func (c clock) After(d time.Duration, target *actor.PID, message any) {
	root := c.n.system.Root
	c.n.w.after(time.Duration(float64(d)/c.n.drift), func() {
		if c.n.incarnation == c.incarnation {
			root.Send(target, message)
		}
	})
}
