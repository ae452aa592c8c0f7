package simulation

import "testing"

// Directed tests of whom a leader asks for a few reads.

// askedBy counts what each node is sent by a leader from now on.
func (s *scenario) askedBy(leader *node) map[*node]int {
	asked := map[*node]int{}
	s.drop(func(p packet) bool {
		if p.from == leader && appendEntries(p) {
			asked[p.to]++
		}
		return false
	})
	return asked
}

// A few reads ask a majority, and many ask all.
func TestHowManyAreAsked(t *testing.T) {
	for _, c := range []struct{ nodes, reads, asked int }{{5, 1, 2}, {3, 1, 1}, {3, 64, 1}, {3, 65, 2}} {
		s := newCluster(t, c.nodes)
		s.put("put k 1")
		s.settled()
		asked := s.askedBy(s.nodes[0])
		reads := make([]*caller, c.reads)
		for i := range reads {
			reads[i] = s.query(s.nodes[0], "k")
		}
		for _, read := range reads {
			s.done(read)
		}
		if len(asked) != c.asked {
			t.Errorf("%d reads at %d nodes ask %d others, not %d", c.reads, c.nodes, len(asked), c.asked)
		}
	}
}

// Whoever is asked first may be gone. The other follower is asked soon, and first from then on.
func TestAReadDoesNotWaitForASilentFollower(t *testing.T) {
	for _, silent := range []int{1, 2} {
		s := newCluster(t, 3)
		a, heartbeat := s.nodes[0], electionTimeout/10
		s.put("put k 1")
		s.settled()
		s.isolateFrom(s.nodes[silent])
		for range 2 {
			read := s.query(a, "k")
			s.within(heartbeat/2, "the read is answered", read.answered)
			s.done(read)
		}
		begun := s.w.now
		if s.done(s.query(a, "k")); s.w.now-begun > heartbeat/20 {
			t.Errorf("a read takes %v when who is silent is known", s.w.now-begun)
		}
	}
}
