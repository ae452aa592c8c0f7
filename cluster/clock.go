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

func (wallClock) SinceBoot() time.Duration { return sinceBoot() }

func (c wallClock) After(d time.Duration, target *actor.PID, message any) {
	time.AfterFunc(d, func() { c.root.Send(target, message) })
}

var started = time.Now()

// sinceStart is for systems without a clock that counts while they are suspended.
func sinceStart() time.Duration { return time.Since(started) }
