package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// promise is what a voter owes to a leader with a lease (thesis 6.4.1): until then it grants nobody else a vote or a pre-vote, and does not
// stand, whatever its role is by then, and whatever a broken connection hints. It is made when a leader asks for it.
type promise struct {
	to    string // empty: it was made before this start
	until time.Time
	// longest is the longest one that was ever made. It is durable before the first of its length is: who starts again keeps that
	// long to what it may have promised before.
	longest, durable time.Duration
}

// longestPromise is how many election timeouts a promise may last, whatever a leader asks for.
const longestPromise = 10

// promises answers a leader that asks for a promise.
func (s *server) promises(m *messages.AppendEntries) bool {
	if m.LeaseMs == 0 || m.LeaseMs > uint64(longestPromise*s.c.Timing.Election/time.Millisecond) {
		return false
	}
	p, length := &s.promise, time.Duration(m.LeaseMs)*time.Millisecond
	if length > p.longest {
		p.longest = length
		s.outbox.promise()
		s.outbox.hold(func() { p.durable = max(p.durable, length) })
	}
	if length > p.durable {
		return false // the next time
	}
	p.to = m.Header.From
	if until := s.c.Clock.Now().Add(length); until.After(p.until) {
		p.until = until
	}
	return true
}

// keepPromises is for a server that starts: it does not know how long ago it promised.
func (s *server) keepPromises() {
	if p := &s.promise; p.longest > 0 {
		p.until = s.c.Clock.Now().Add(p.longest)
	}
}

// left is how long a promise still lasts that keeps a server from a candidate; from standing itself, if that is empty.
func (p *promise) left(candidate string, now time.Time) time.Duration {
	if p.to != "" && p.to == candidate {
		return 0
	}
	return max(p.until.Sub(now), 0)
}
