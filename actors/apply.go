package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// apply obeys: if commitIndex > lastApplied, increment lastApplied, apply log[lastApplied] to state machine (section 5.3). The
// machine has one batch at a time; the next gathers meanwhile, so what is handed over is bounded.
func (s *server) apply() {
	last := s.applicable()
	if s.handed != nil || last <= s.lastApplied {
		return
	}
	a := &apply{first: s.lastApplied + 1}
	if a.first < s.log.tailFirst {
		a.last = min(last, s.log.tailFirst-1) // the machine reads them from the store
	} else {
		a.last = s.boundedBatch(a.first, last)
		a.entries = s.log.slice(a.first, a.last)
	}
	a.waiters = s.takeWaiters(a.last)
	s.handed = a
	s.ctx.Send(s.machine, a)
}

// boundedBatch is the last index that goes into one batch from first on.
func (s *server) boundedBatch(first, last uint64) uint64 {
	last = min(last, first+uint64(s.c.Limits.ApplyEntries)-1)
	bytes := 0
	for i, e := range s.log.slice(first, last) {
		if bytes += len(e); bytes > s.c.Limits.ApplyBytes && i > 0 {
			return first + uint64(i) - 1
		}
	}
	return last
}

func (s *server) applied(index uint64) {
	s.handed = nil
	s.lastApplied = index
	switch r := s.role.(type) {
	case *follower:
		if r.leader != "" {
			r.pace.measure(r.pace.commit, index, s.c.Clock.Now(), s.c.Timing.Election)
		}
	case *leader:
		r.measure(s)
	}
}

// takeWaiters gives up the callers of all entries up to index: the machine answers them.
func (s *server) takeWaiters(index uint64) []waiter {
	n := 0
	for n < len(s.waiters) && s.waiters[n].index <= index {
		n++
	}
	taken := s.waiters[:n:n]
	s.waiters = s.waiters[n:]
	return taken
}

// dropWaiters answers the callers of all entries above index.
func (s *server) dropWaiters(index uint64, err error) {
	n := len(s.waiters)
	for n > 0 && s.waiters[n-1].index > index {
		n--
	}
	s.answerWaiters(s.waiters[n:], err)
	s.waiters = s.waiters[:n]
}

// dropHanded answers the callers of an apply that the machine will not come to.
func (s *server) dropHanded() {
	if s.handed != nil && !s.handed.taken.Swap(true) {
		s.answerWaiters(s.handed.waiters, ErrOutcomeUnknown)
	}
}

func (s *server) answerWaiters(waiters []waiter, err error) {
	for _, w := range waiters {
		s.door.release(1, w.bytes)
		w.caller.Answer(Answer{Index: w.index, Err: err})
	}
}

func (s *server) spawnMachine() *actor.PID {
	m := &machine{
		sm: s.c.Machine, door: s.door, store: s.c.Store, number: s.c.Number, limits: s.c.Limits, applied: s.lastApplied,
	}
	pid, err := s.ctx.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return m }, s.c.Props...), machineName)
	if err != nil {
		panic(err)
	}
	return pid
}

// HandleFailure supervises the server's children. A machine that panicked takes its group down on this node, and not its
// neighbours; a replicator owns nothing durable and starts over.
func (s *server) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, failures *actor.RestartStatistics, reason, _ any) {
	if child.Id != s.machine.Id {
		s.superviseReplicator(supervisor, child, failures, reason)
		return
	}
	p := stacked(reason)
	s.c.Logger.Error("the state machine panicked", "reason", p.reason, "stack", p.stack)
	err := fmt.Errorf("%w: the state machine panicked: %v", ErrGroupFailed, p.reason)
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
