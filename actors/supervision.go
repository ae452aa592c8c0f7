package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// stopForGood is the supervision of actors that own a vote or a promise: they are never restarted in place, since an actor
// that forgot what it promised is worse than none.
type stopForGood struct{ report func(*panicked) }

func (s *stopForGood) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	s.report(stacked(reason))
	supervisor.StopChildren(child)
}

// panicked is what an actor panicked with, and where.
type panicked struct {
	reason any
	stack  string
}

func (p *panicked) Error() string { return fmt.Sprint(p.reason) }

// Stack is that of the goroutine that panicked.
func (p *panicked) Stack() string { return p.stack }

// stacked adds the stack to what is recovered from a panic. It is of use while the goroutine still unwinds.
func stacked(reason any) *panicked {
	if p, ok := reason.(*panicked); ok {
		return p
	}
	return &panicked{reason, string(debug.Stack())}
}

// withStack is deferred where somebody else's code may panic: supervisors hear of it when its stack is gone.
func withStack() {
	if reason := recover(); reason != nil {
		panic(stacked(reason))
	}
}
