package actors

import "slices"

// quorumIndex is the highest index that a majority of the servers has reached.
func quorumIndex(reached []uint64) uint64 {
	var array [9]uint64
	ascending := append(array[:0], reached...)
	slices.Sort(ascending)
	return ascending[(len(ascending)-1)/2]
}

// committedBy is the leader's rule: if there is an N > commitIndex such that a majority of matchIndex[i] >= N, and
// log[N].term == currentTerm, set commitIndex = N (sections 5.3, 5.4). It returns N, or commitIndex when there is none.
func (s *state) committedBy(matchIndex []uint64) uint64 {
	n := quorumIndex(matchIndex)
	if n <= s.commitIndex || s.log.term(n) != s.currentTerm {
		return s.commitIndex
	}
	return n
}
