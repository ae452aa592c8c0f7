package clientport

import "context"

// roomStep is how much room is given back at a time.
const roomStep = 64 << 10

// require takes room for a message of so many bytes that arrives, beside what is under way. The stream's own calls are waited for as long
// as they last.
func (s *exchange) require(ctx context.Context, size int64) error {
	room := s.visit.limiter.bodies
	s.mu.Lock()
	s.weight += size
	target := min(s.weight-smallBytes, room.share)
	s.mu.Unlock()
	lacking := target - room.held(&s.requests)
	if lacking <= 0 {
		return nil
	}
	s.wait(true)
	defer s.wait(false)
	for !room.take(ctx, &s.requests, lacking, s.visit.limiter.limits.Patience) {
		if ctx.Err() != nil {
			return RPCError(ctx.Err())
		}
		if s.idle() {
			return RPCError(errNoRoom)
		}
	}
	return nil
}

func (s *exchange) wait(waiting bool) {
	s.mu.Lock()
	s.waiting = waiting
	s.mu.Unlock()
	s.rest()
}

// lighten forgets bytes that were under way.
func (s *exchange) lighten(bytes int64) {
	room := s.visit.limiter.bodies
	s.mu.Lock()
	s.weight -= bytes
	needed := max(s.weight-smallBytes, 0)
	s.mu.Unlock()
	if room.held(&s.requests) > 2*needed+roomStep {
		room.keep(&s.requests, needed)
	}
}

// keepValue takes room for a part of an answer that waits to be sent. It never waits: the caller is a group's state machine. The mutex
// is held.
func (s *exchange) keepValue(bytes int) bool {
	room := s.visit.limiter.answers
	if more := s.valueBytes + int64(bytes) - smallBytes - s.valueRoom; more > 0 {
		if step := max(more, roomStep); room.try(&s.values, step) {
			s.valueRoom += step
		} else if room.try(&s.values, more) {
			s.valueRoom += more
		} else {
			return false
		}
	}
	s.valueBytes += int64(bytes)
	return true
}

// forgetValues is for parts of answers that were sent.
func (s *exchange) forgetValues(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valueBytes -= bytes
	if needed := max(s.valueBytes-smallBytes, 0); s.valueRoom > 2*needed+roomStep {
		s.visit.limiter.answers.keep(&s.values, needed)
		s.valueRoom = needed
	}
}
