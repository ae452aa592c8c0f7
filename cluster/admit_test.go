package cluster

import (
	"slices"
	"testing"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Each answer to a node that joins is the next step; what was done is not done again.
func TestANodeThatJoinsIsTakenInStepByStep(t *testing.T) {
	n1 := actors.Member{ID: "n1", Address: "h:1", StoreID: 1}
	n4 := actors.Member{ID: "n4", Address: "h:4", StoreID: 4}
	other := actors.Member{ID: "n4", Address: "h:4", StoreID: 9}
	moved := actors.Member{ID: "n4", Address: "h:5", StoreID: 4}
	list := func(m ...actors.Member) []actors.Member { return m }
	asks := func(learner, known bool) *messages.JoinRequest {
		return &messages.JoinRequest{Id: "n4", Address: "h:4", StoreId: 4, Learner: learner, Known: known}
	}
	both, apart := actors.Change{Voters: list(n1, n4)}, actors.Change{Voters: list(n1), Learners: list(n4)}
	for what, test := range map[string]struct {
		voters, learners []actors.Member
		ask              *messages.JoinRequest
		to               actors.Change
		last, refused    bool
	}{
		"new":                      {list(n1), nil, asks(false, false), apart, false, false},
		"new, a learner":           {list(n1), nil, asks(true, false), apart, true, false},
		"a learner":                {list(n1), list(n4), asks(false, true), both, true, false},
		"a learner that stays one": {list(n1), list(n4), asks(true, true), apart, true, false},
		"a voter":                  {list(n1, n4), nil, asks(false, true), both, true, false},
		"a voter, as a learner":    {list(n1, n4), nil, asks(true, true), both, true, false},
		"a learner elsewhere":      {list(n1), list(moved), asks(false, true), apart, false, false},
		"a voter elsewhere":        {list(n1, moved), nil, asks(false, true), both, false, false},
		"another directory":        {list(n1, other), nil, asks(false, false), actors.Change{}, false, true},
		"removed":                  {list(n1), nil, asks(false, true), actors.Change{}, false, true},
	} {
		to := actors.Change{Voters: slices.Clone(test.voters), Learners: slices.Clone(test.learners)}
		last, err := admit(&to, test.ask)
		if (err != nil) != test.refused || last != test.last {
			t.Errorf("%s: the last step: %v, %v", what, last, err)
		}
		if err == nil && (!slices.Equal(to.Voters, test.to.Voters) || !slices.Equal(to.Learners, test.to.Learners)) {
			t.Errorf("%s: the members are to be %+v", what, to)
		}
	}
}
