package simulation

import (
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests of leases, for the group R of CATALOGUE.md.

// byLease asks a node for the value of a key, and allows a lease.
func (s *scenario) byLease(n *node, key string) *caller {
	c := &caller{s: s, what: "get " + key + " by lease at " + n.id}
	n.doors[0].Read(actors.Read{Consistency: actors.Lease}, []byte(key), c)
	return c
}

// leased is a cluster whose first node leads, has a lease, and goes on to get one for some time.
func leased(t *testing.T, nodes int) *scenario {
	t.Helper()
	s := newCluster(t, nodes)
	s.put("put k 1")
	s.done(s.byLease(s.nodes[0], "k"))
	s.until("the first node has a lease", func() bool { return s.hasLease(s.nodes[0]) })
	return s
}

// hasLease says whether a node answers a read while it hears nothing.
func (s *scenario) hasLease(n *node) bool {
	unheard := s.hold(func(p packet) bool { return p.to == n })
	defer unheard.release()
	soon := s.w.now + time.Millisecond
	c := s.byLease(n, "k")
	s.w.run(func() bool { return c.done || s.w.now > soon })
	return c.done && c.got.Err == nil
}

// A lease is looked at when a read comes, and is over before others can lead.
func TestR04ALeaseEndsWithoutItsMajority(t *testing.T) {
	s := leased(t, 3)
	a := s.nodes[0]
	s.pass(electionTimeout)
	s.isolate(a)
	began, last := s.w.now, s.w.now
	for s.leads(a) {
		if s.hasLease(a) {
			last = s.w.now
		}
		s.pass(time.Millisecond)
	}
	if held := last - began; held < electionTimeout/2 || held > electionTimeout*88/100 {
		t.Errorf("the lease held for %v of %v", held, electionTimeout)
	}
}

// A process that stood still for long looks at its lease before it answers.
func TestR05AStoppedLeaderHasNoLease(t *testing.T) {
	s := leased(t, 3)
	a := s.nodes[0]
	a.pause()
	s.until("another leads", func() bool { return s.leader() != a })
	s.put("put k 2")
	a.resume()
	if c := s.byLease(a, "k"); s.answer(c).Err == nil && string(c.got.Value) != "2" {
		t.Errorf("%q", c.got.Value)
	}
}

// Clocks that run unevenly by more than the bound break what a lease promises. Other reads do not depend on that.
func TestR05ClocksBeyondTheBoundBreakALease(t *testing.T) {
	s := leased(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	b.drift, c.drift = 3, 3
	s.pass(electionTimeout)
	s.until("the first node has a lease", func() bool { return s.hasLease(a) })
	s.isolate(a)
	s.writtenElsewhere(a)
	if stale := s.byLease(a, "k"); s.done(stale) != "1" {
		t.Errorf("%q: the others were not fast enough", stale.got.Value)
	}
	read := s.query(a, "k")
	s.heal()
	if got := s.answer(read); got.Err == nil && string(got.Value) != "2" {
		t.Errorf("a linearizable read misses a write: %q", got.Value)
	}
}

// writtenElsewhere waits until another node than the old leader has acknowledged a write.
func (s *scenario) writtenElsewhere(old *node) {
	s.t.Helper()
	s.until("another leads", func() bool { l := s.leader(); return l != nil && l != old && s.status(l).Ready })
	s.done(s.propose(s.leader(), "put k 2"))
}

// Who promised keeps that in any role, whatever it is told of the leader, and over restarts: nobody writes while a lease lasts.
func TestR06APromiseIsKept(t *testing.T) {
	restart := func(s *scenario, n *node) {
		s.crash(n, true)
		s.restart(n)
	}
	for name, c := range map[string]struct {
		// away: the third node has not heard the leader for long, and stands again and again.
		away    bool
		provoke func(s *scenario, leader, promised, other *node)
	}{
		"both are told that the leader is gone": {false, func(_ *scenario, a, b, c *node) { b.lose(a); c.lose(a) }},
		"who promised is told so":               {true, func(_ *scenario, a, b, _ *node) { b.lose(a) }},
		"who promised restarts":                 {true, func(s *scenario, _, b, _ *node) { restart(s, b) }},
		"who promised restarts twice": {true, func(s *scenario, _, b, _ *node) {
			restart(s, b)
			s.pass(electionTimeout / 20)
			restart(s, b)
		}},
		"both restart": {false, func(s *scenario, _, b, c *node) { restart(s, b); restart(s, c) }},
	} {
		t.Run(name, func(t *testing.T) {
			for try := range time.Duration(8) {
				s := leased(t, 3)
				leader, promised, other := s.nodes[0], s.nodes[1], s.nodes[2]
				if c.away {
					s.cut(leader, other)
					s.pass(2 * electionTimeout)
				}
				s.pass(try * electionTimeout / 8)
				s.until("the first node has a lease", func() bool { return s.hasLease(leader) })
				s.isolate(leader)
				c.provoke(s, leader, promised, other)
				s.writtenElsewhere(leader)
				if s.hasLease(leader) {
					t.Errorf("try %d: a lease lasts longer than the promises", try)
				}
			}
		})
	}
}

// Nothing is promised before the disk has that something is.
func TestR06APromiseIsDurableFirst(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.put("put k 1")
	s.settled()
	s.cut(a, c)
	s.stopDisk(b)
	for range 5 {
		s.done(s.byLease(a, "k"))
	}
	if s.hasLease(a) {
		t.Error("a voter promised what it would forget")
	}
	s.startDisk(b)
	s.until("the leader has a lease", func() bool { return s.hasLease(a) })
}

// What is known of the leader is as old as the question.
func TestABoundedReadCountsFromTheQuestion(t *testing.T) {
	const most = electionTimeout / 5
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.put("put k 1")
	s.settled()
	late := s.hold(func(p packet) bool { return is[*messages.ReadIndexReply](p) })
	first := s.query(b, "k")
	s.pass(electionTimeout / 50)
	s.cutOneWay(a, b)
	s.put("put k 2")
	s.pass(2 * most)
	late.release()
	s.done(first)
	read := &caller{s: s, what: "a bounded read"}
	b.doors[0].Read(actors.Read{Consistency: actors.Bounded, MaxStaleness: most}, []byte("k"), read)
	s.during(most, "the read waits", func() bool { return !read.done || string(read.got.Value) != "1" })
	s.heal()
	if got := s.answer(read); got.Err == nil && string(got.Value) != "2" {
		t.Errorf("%q", got.Value)
	}
	older := &caller{s: s, what: "a bounded read of what is known"}
	s.isolate(b)
	b.doors[0].Read(actors.Read{Consistency: actors.Bounded, MaxStaleness: time.Minute}, []byte("k"), older)
	s.done(older)
}
