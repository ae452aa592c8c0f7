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

func TestAFewReadsAskAMajority(t *testing.T) {
	s := newCluster(t, 5)
	a := s.nodes[0]
	s.put("put k 1")
	s.settled()
	asked := s.askedBy(a)
	if got := s.done(s.query(a, "k")); got != "1" || len(asked) != 2 {
		t.Errorf("k is %q, and %d were asked", got, len(asked))
	}
}

func TestManyReadsAskAll(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	s.put("put k 1")
	s.settled()
	asked := s.askedBy(a)
	reads := make([]*caller, 100)
	for i := range reads {
		reads[i] = s.query(a, "k")
	}
	for _, read := range reads {
		s.done(read)
	}
	if len(asked) != 2 {
		t.Errorf("%d were asked", len(asked))
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
