package actors

import "slices"

// Quorum says who must agree: a majority of each of its sets of voters, which are ids. There is one set, or two in a joint phase
// (section 6). Where everybody is needed, each voter is a set of its own.
type Quorum [][]string

// unanimous needs each of the voters.
func unanimous(voters []Member) Quorum {
	q := make(Quorum, len(voters))
	for i, v := range voters {
		q[i] = []string{v.ID}
	}
	return q
}

// majority is how many of n voters are needed.
func majority(n int) int { return n/2 + 1 }

// Committed is the highest index such that a majority of each set matches the leader's log up to there.
func (q Quorum) Committed(match func(id string) uint64) uint64 {
	if len(q) == 0 {
		return 0
	}
	lowest := ^uint64(0)
	for _, voters := range q {
		lowest = min(lowest, reached(voters, match))
	}
	return lowest
}

// reached is the highest index that a majority of one set has.
func reached(voters []string, match func(id string) uint64) uint64 {
	var array [9]uint64
	ascending := array[:0]
	for _, id := range voters {
		ascending = append(ascending, match(id))
	}
	slices.Sort(ascending)
	return ascending[len(ascending)-majority(len(ascending))]
}

// Won says whether the votes make a leader: true is a vote that was granted, false one that was denied.
func (q Quorum) Won(votes map[string]bool) bool {
	return q.Heard(func(id string) bool { return votes[id] })
}

// Lost says whether the votes that are still out can no longer make a leader.
func (q Quorum) Lost(votes map[string]bool) bool {
	return !q.Heard(func(id string) bool {
		granted, voted := votes[id]
		return granted || !voted
	})
}

// Heard says whether a majority of each set is among those that were heard.
func (q Quorum) Heard(heard func(id string) bool) bool {
	for _, voters := range q {
		n := 0
		for _, id := range voters {
			if heard(id) {
				n++
			}
		}
		if n < majority(len(voters)) {
			return false
		}
	}
	return len(q) > 0
}
