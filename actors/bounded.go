package actors

import (
	"slices"
	"time"
)

// readPoint is an index that reflects all that was acknowledged before this server asked for it, by its own clock. What a leader sends
// by itself bounds nothing: it may have been on its way for long.
type readPoint struct {
	index uint64
	asked time.Duration // since the machine's boot; 0: none is known
}

// learns notes a read index.
func (s *server) learns(index uint64, asked time.Duration) {
	if asked > s.known.asked {
		s.known = readPoint{max(index, s.known.index), asked}
	}
}

// readBounded answers the reads for which what is known is new enough, whoever leads, and returns the others.
func (s *server) readBounded(queries []query) []query {
	bounded := func(q query) bool { return q.read.Consistency == Bounded }
	if s.known.asked == 0 || !slices.ContainsFunc(queries, bounded) {
		return queries
	}
	staleness := s.c.Clock.SinceBoot() - s.known.asked
	by, others := pick(queries, func(q query) bool { return bounded(q) && staleness <= q.read.MaxStaleness })
	s.look(s.known.index, by)
	return others
}

// pick takes queries out of a slice that it reuses for the others.
func pick(queries []query, is func(query) bool) (picked, others []query) {
	others = queries[:0]
	for _, q := range queries {
		if is(q) {
			picked = append(picked, q)
		} else {
			others = append(others, q)
		}
	}
	return picked, others
}
