package actors

// committedBy is the leader's rule: if there is an N > commitIndex such that a majority of matchIndex[i] >= N, and
// log[N].term == currentTerm, set commitIndex = N (sections 5.3, 5.4). It returns N, or commitIndex when there is none.
func (s *state) committedBy(match func(id string) uint64) uint64 {
	n := s.configuration().Quorum().Committed(match)
	if n <= s.commitIndex || s.log.term(n) != s.currentTerm {
		return s.commitIndex
	}
	return n
}
