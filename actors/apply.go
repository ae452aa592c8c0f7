package actors

import "github.com/asynkron/protoactor-go/actor"

// apply obeys: if commitIndex > lastApplied, increment lastApplied, apply log[lastApplied] to state machine (section 5.3). The
// machine has one batch at a time; the next gathers meanwhile, so what is handed over is bounded.
func (s *server) apply() {
	last := s.applicable()
	if s.handed != nil || s.restoring != nil || last <= s.lastApplied {
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

func (s *server) applied(index, time uint64) {
	s.handed = nil
	s.lastApplied, s.logTime = index, time
	s.role.applied(s)
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
		interpreter: interpreter{sm: s.c.Machine, sessions: newSessions(), applied: s.lastApplied},
		door:        s.door, store: s.c.Store, number: s.c.Number, limits: s.c.Limits, logger: s.c.Logger, observer: s.c.ObserveSessions,
	}
	if s.snapshot == nil {
		s.door.beside.open(m.sm, m.applied)
	}
	pid, err := s.ctx.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return m }, s.c.Props...), machineName)
	if err != nil {
		panic(err)
	}
	return pid
}
