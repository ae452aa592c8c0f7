package actors

import (
	"cmp"
	"slices"
)

// membership is the group's voters, ordered by id so that every server sees the same order.
type membership struct {
	voters []Member
	self   int
}

func newMembership(self string, members []Member) membership {
	voters := slices.Clone(members)
	slices.SortFunc(voters, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return membership{voters, slices.IndexFunc(voters, func(m Member) bool { return m.ID == self })}
}

// quorum is the size of a majority.
func (m membership) quorum() int { return len(m.voters)/2 + 1 }
