package actors

import "testing"

// The next round waits until the one before is answered, then for most of its callers, but only for some turns, and never for reads of
// followers.
func TestReadsGather(t *testing.T) {
	for name, c := range map[string]struct {
		size, turns     int
		waiting, remote int
		want            bool
	}{
		"nobody was answered":        {size: 0, waiting: 1},
		"one was answered":           {size: 1, waiting: 1},
		"the machine has not looked": {size: 8, waiting: 8, want: true},
		"few call again":             {size: 8, turns: 1, waiting: 5, want: true},
		"most call again":            {size: 8, turns: 1, waiting: 6},
		"both of two":                {size: 2, turns: 1, waiting: 2},
		"one of two":                 {size: 2, turns: 1, waiting: 1, want: true},
		"long enough":                {size: 8, turns: mostTurns, waiting: 1},
		"a follower waits":           {size: 8, turns: 1, waiting: 1, remote: 1},
	} {
		r := &reads{waiting: make([]query, c.waiting), waitingRemote: make([]remoteRead, c.remote), gathering: gatheringAfter(c.size)}
		r.gathering.left -= c.turns
		if got := r.gathers(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
