package cluster

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
)

// wallClock is the time of this machine.
type wallClock struct{ root *actor.RootContext }

var _ actors.Clock = wallClock{}

func (wallClock) Now() time.Time { return time.Now() }

func (c wallClock) After(d time.Duration, target *actor.PID, message any) {
	time.AfterFunc(d, func() { c.root.Send(target, message) })
}
