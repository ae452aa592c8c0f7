package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Clock is all that servers know of time. It is safe for concurrent use.
type Clock interface {
	// Now is monotonic: it never goes back.
	Now() time.Time
	// SinceBoot is monotonic, too, and goes on while the machine is suspended, as far as its system can tell.
	SinceBoot() time.Duration
	// After mails message to target when d has passed. It cannot be cancelled: whoever gets the message checks whether it
	// still matters.
	After(d time.Duration, target *actor.PID, message any)
}
