package simulation

import (
	"testing"

	"github.com/troupe-raft/troupe/actors"
)

// Directed tests of members that come, go and move.

// members makes these the group's voters and learners.
func (s *scenario) members(voters, learners []*node) {
	s.t.Helper()
	of := func(nodes []*node) (all []actors.Member) {
		for _, n := range nodes {
			all = append(all, s.w.member(0, n.place))
		}
		return all
	}
	s.until("a leader is ready", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
	c := &caller{s: s, what: "for other members"}
	s.leader().doors[0].Reconfigure(actors.Change{Voters: of(voters), Learners: of(learners)}, c)
	s.done(c)
}

// A member that was away comes back at another address. All that its log knows have left; only its operator names those who are there. It
// asks them, so that the leader hears where it is.
func TestAMemberAsksWhomItsOperatorNames(t *testing.T) {
	s := newCluster(t, 5)
	away, new1, new2 := s.nodes[0], s.nodes[3], s.nodes[4]
	old := s.nodes[:3]
	s.members(old, nil)
	for _, n := range []*node{new1, new2} {
		s.until(n.id+" knows that it left", func() bool { return s.w.left(0, n) && s.status(n).Unready == actors.ErrRemoved })
		s.w.renew(n)
	}
	s.settledAmong(old)
	s.crash(away, true)
	s.members(old, []*node{new1, new2})
	s.settledAmong([]*node{new1, new2})
	s.pass(electionTimeout)
	s.members(s.nodes, nil)
	s.leader().doors[0].HandOver(new1.id, &caller{s: s, what: "to hand over"})
	s.until("a new node leads", func() bool { return s.leads(new1) })
	s.members([]*node{away, new1, new2}, nil)
	for _, n := range old[1:] {
		s.crash(n, true)
	}
	away.address = "moved:1"
	s.w.members[0].Address = away.address
	s.restart(away)
	s.until("it is found", func() bool { return s.status(away).AppliedIndex == s.status(new1).LastIndex })
	if !s.leads(new1) {
		t.Error("another leads: the test shows nothing")
	}
}

// settledAmong runs until these have applied what the leader has.
func (s *scenario) settledAmong(nodes []*node) {
	s.t.Helper()
	for _, n := range nodes {
		s.until(n.id+" has all", func() bool { return s.status(n).AppliedIndex == s.status(s.leader()).LastIndex })
	}
}

// A leader has an election timeout to hear who came into the group. Until then it is not one that hears nobody.
func TestALeaderHasTimeToHearWhoCameIntoTheGroup(t *testing.T) {
	s := newCluster(t, 2)
	a, b := s.nodes[0], s.nodes[1]
	s.members([]*node{a}, nil)
	s.until("the other knows that it left", func() bool { return s.w.left(0, b) && s.status(b).Unready == actors.ErrRemoved })
	s.w.renew(b)
	s.pass(4 * electionTimeout)
	s.members([]*node{a}, []*node{b})
	change := actors.Change{Voters: []actors.Member{s.w.member(0, a.place), s.w.member(0, b.place)}}
	var asked *caller
	s.until("the other is to vote, too", func() bool {
		if asked == nil || asked.done && asked.got.Err != nil { // it has not caught up
			asked = &caller{s: s, what: "for a second voter"}
			a.doors[0].Reconfigure(change, asked)
		}
		return len(s.status(a).Configuration.Quorum()) > 1
	})
	s.isolate(b)
	s.pass(electionTimeout * 9 / 10)
	if !s.leads(a) {
		t.Error("it gave up before: the test shows nothing")
	}
	s.within(electionTimeout, "it does not lead", func() bool { return !s.leads(a) })
}
