package clientport

import (
	"context"
	"time"
)

// roomStep is how much room is given back at a time.
const roomStep = 64 << 10

// require takes room for a message of so many bytes that arrives, beside what is under way. The stream's own calls are waited for as long
// as they last.
func (s *exchange) require(ctx context.Context, size int64) error {
	room := s.visit.limiter.bodies
	s.mu.Lock()
	s.weight += size
	s.mu.Unlock()
	if room.held(&s.requests) >= s.needed() {
		return nil
	}
	s.wait(true)
	defer s.wait(false)
	for {
		needed, held := s.needed(), room.held(&s.requests)
		switch {
		case held >= needed:
			return nil
		case needed > room.share: // what others give back does not help
			s.awaitAnswers(ctx)
		case room.take(ctx, &s.requests, needed-held, s.visit.limiter.limits.Patience):
			return nil
		}
		if ctx.Err() != nil {
			return RPCError(ctx.Err())
		}
		if s.idle() {
			return RPCError(errNoRoom)
		}
	}
}

// needed is the room for what is under way.
func (s *exchange) needed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.weight-smallBytes, 0)
}

// awaitAnswers waits until answers were sent, or the stream is over.
func (s *exchange) awaitAnswers(ctx context.Context) {
	select {
	case <-s.lightened:
	case <-ctx.Done():
	}
}

// lifeTime is how often a client is told that the stream lives, whose pings are not heard.
const lifeTime = 100 * time.Millisecond

func (s *exchange) wait(waiting bool) {
	s.mu.Lock()
	s.waiting = waiting
	if waiting {
		s.life = time.AfterFunc(lifeTime, s.live)
	} else {
		s.life.Stop()
	}
	s.mu.Unlock()
	s.rest()
}

// live has the writer give a sign of life.
func (s *exchange) live() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		s.alive = true
		s.signal()
		s.life.Reset(lifeTime)
	}
}

// lighten forgets bytes that arrived.
func (s *exchange) lighten(bytes int64) {
	s.mu.Lock()
	s.weight -= bytes
	s.mu.Unlock()
	s.giveBack()
}

// giveBack gives back the room that is not needed any more, if it is much.
func (s *exchange) giveBack() {
	select {
	case s.lightened <- struct{}{}:
	default:
	}
	room := s.visit.limiter.bodies
	if needed := s.needed(); room.held(&s.requests) > 2*needed+roomStep {
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
