package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// stopForGood is the supervision of actors that own a vote or a promise: they are never restarted in place, since an actor
// that forgot what it promised is worse than none.
type stopForGood struct{ report func(*panicked) }

func (s *stopForGood) HandleFailure(
	_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any,
) {
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

// stacked adds the stack to what is recovered from a panic. Call it while the goroutine still unwinds.
func stacked(reason any) *panicked {
	if p, ok := reason.(*panicked); ok {
		return p
	}
	return &panicked{reason, string(debug.Stack())}
}

// withStack is deferred where somebody else's code may panic. A supervisor hears of a panic when its stack is gone.
func withStack() {
	if reason := recover(); reason != nil {
		panic(stacked(reason))
	}
}

// HandleFailure supervises the server's children. A machine that panicked takes its group down on this node, and not its
// neighbours; a replicator owns nothing durable and starts over.
func (s *server) HandleFailure(
	_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, failures *actor.RestartStatistics, reason, _ any,
) {
	if s.reception != nil && child.Id == s.reception.receiver.Id {
		p := stacked(reason)
		s.c.Logger.Error("a receiver panicked", "actor", child.Id, "reason", p.reason, "stack", p.stack)
		s.stopReception() // the next chunk begins anew
		return
	}
	if child.Id != s.machine.Id {
		s.superviseReplicator(supervisor, child, failures, reason)
		return
	}
	p := stacked(reason)
	s.c.Logger.Error("the state machine panicked", "reason", p.reason, "stack", p.stack)
	err := machinePanicked(p)
	s.door.close(err) // not even stale reads can be answered
	s.dropHanded()
	supervisor.StopChildren(child)
	if s.role.kind() != Failed {
		s.fail(err)
		s.publish()
	}
}

// superviseReplicator gives up a replicator that panics again and again: its follower hears nothing more of this leadership.
func (s *server) superviseReplicator(supervisor actor.Supervisor, child *actor.PID, failures *actor.RestartStatistics, reason any) {
	const enough = 10
	p := stacked(reason)
	s.c.Logger.Error("a replicator panicked", "actor", child.Id, "reason", p.reason, "stack", p.stack)
	failures.Fail()
	if failures.FailureCount() > enough {
		supervisor.StopChildren(child)
		return
	}
	supervisor.RestartChildren(child)
}
