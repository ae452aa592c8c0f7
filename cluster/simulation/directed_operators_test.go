package simulation

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for G-05, G-06, O-04 and O-08 of CATALOGUE.md.

// swap lets a node run from another disk, and returns the one it had.
func (s *scenario) swap(n *node, other *disk) *disk {
	s.crash(n, true)
	had := n.disk
	n.disk = other
	s.restart(n)
	return had
}

// newDouble is a second disk under a member's name.
func newDouble() *disk {
	d := newDisk(1)
	d.double = true
	return d
}

// O-04 The id n2 runs twice, on two disks, which are reachable in turn: what the second one says does not count, and the leader says
// so. The first one counts again.
func TestO04TheSameIDOnTwoDisks(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.crash(s.nodes[2], true)
	s.put("put k 1")
	s.settled()
	first := s.swap(b, newDouble())
	c := s.propose(a, "put k 2")
	s.within(2*time.Second, "n1 steps down", func() bool { return !s.leads(a) })
	s.during(10*time.Second, "nobody leads", func() bool { return s.leader() == nil })
	if a := s.answer(c); a.Err == nil {
		t.Fatal("the double was counted")
	}
	s.swap(b, first)
	s.put("put k 3")
	s.restart(s.nodes[2])
	s.settled()
}

// O-04 What the second one acknowledged is never counted, not even when the first one answers afterwards.
func TestO04WhatADoubleAcknowledgedIsNeverCounted(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	first := s.swap(b, newDouble())
	s.elect(c) // a new leadership: the double is the only n2 that it hears
	s.put("put k 1")
	s.pass(100 * time.Millisecond)
	s.crash(a, true)
	x := s.propose(c, "put k 2")
	s.pass(100 * time.Millisecond) // the double may have it, and say so
	s.swap(b, first)
	s.answer(x) // once n2 really has it
	s.put("put k 3")
	s.restart(a)
	s.settled()
}

// O-08 n1 is initialised alone, n2 and n3 with n1 as a third: n1 leads and keeps its own, the others are never founded. Then n1 is
// told of three members, and has data already.
func TestO08InitialisedTwice(t *testing.T) {
	w := newWorld(Registers(), Options{Nodes: 3, Groups: 1})
	s := &scenario{t: t, w: w, nodes: w.nodes}
	members := w.members
	w.members, w.nodes = members[:1], s.nodes[:1]
	s.restart(s.nodes[0])
	s.put("put k 1")
	w.members, w.nodes = members, s.nodes
	s.restart(s.nodes[1])
	s.restart(s.nodes[2])
	s.during(10*time.Second, "only n1 leads", func() bool { return !s.leads(s.nodes[1]) && !s.leads(s.nodes[2]) })
	if s.leader() != s.nodes[0] || s.disk(s.nodes[1])+s.disk(s.nodes[2]) != "" {
		t.Fatal(w.describe())
	}
	s.crash(s.nodes[0], true)
	s.nodes[0].broken = "it was founded alone, and refuses three members"
	s.nodes[0].start()
	if s.nodes[0].up {
		t.Fatal("n1 has a log of another group, and starts")
	}
	s.during(10*time.Second, "nobody leads", func() bool { return s.leader() == nil })
	for _, n := range s.nodes {
		s.crash(n, true)
	}
	s.check()
}

// G-05 A server is started again while the mail of its former life is under way: its vote is not forgotten, and old mail changes
// nothing. A second one cannot be started beside it.
func TestG05AServerIsStartedAgain(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	late := s.hold(func(p packet) bool { return p.to == b || p.from == b })
	s.put("put k 1")
	s.put("put k 2")
	s.ask(a, b, s.status(b).Term) // in its term it voted for n1, and hears n1
	s.crash(b, true)
	s.restart(b)
	late.release()
	s.settled()
	vote := b.disk.groups[0].hard
	s.orphan(b)
	replies := s.hold(requestVoteReply)
	s.ask(c, b, vote.Term)
	if vote.Vote != a.id || replies.first("an answer").original.(*messages.RequestVoteReply).Granted {
		t.Fatalf("the vote %+v is forgotten", vote)
	}
	config := actors.Config{
		Group: groupName(0), ID: b.id, Members: s.w.members, Machine: s.w.machine.New(), Shared: b.shared, Number: 1,
		Clock: clock{b, b.incarnation}, Props: nil,
	}
	if _, err := actors.Start(b.system.Root, config); err == nil {
		t.Fatal("the group runs twice on a node")
	}
}

const manyGroups = 100

// manyGroupsLed is a cluster of many groups, all of which have a leader.
func manyGroupsLed(t *testing.T) *scenario {
	t.Helper()
	s := newScenarioOf(t, Options{Nodes: 3, Groups: manyGroups, Timing: actors.Timing{DiskStall: 2 * time.Second}})
	s.until("every group has a leader", func() bool { return s.led(nil) == manyGroups })
	return s
}

// led counts the groups whose leader is ready and is on another node than not; nil: on any node.
func (s *scenario) led(not *node) int {
	count := 0
	for g := range manyGroups {
		for _, n := range s.nodes {
			if n != not && n.up && n.doors[g].Status().Ready {
				count++
				break
			}
		}
	}
	return count
}

// G-06 The one journal of many groups gets an I/O error: all groups of its node say so and are led elsewhere. After a restart every
// group has its own entries.
func TestG06ManyGroupsShareAJournalThatFails(t *testing.T) {
	s := manyGroupsLed(t)
	b := s.nodes[1]
	b.disk.breaks(onSync)
	var asked []*caller
	for g := range manyGroups {
		c := &caller{s: s, what: fmt.Sprint("group ", g)}
		for _, n := range s.nodes {
			if n.doors[g].Status().Role == actors.Leader {
				n.doors[g].Propose(fmt.Appendf(nil, "put k %d", g), c)
			}
		}
		asked = append(asked, c)
	}
	s.until("the others lead every group", func() bool { return s.led(b) == manyGroups })
	for g, c := range asked {
		s.answer(c)
		if status := b.doors[g].Status(); status.Role != actors.Failed || status.Err == nil {
			t.Fatalf("group %d does not say that its disk failed: %+v", g, status)
		}
	}
	s.crash(b, true)
	s.restart(b)
	for g := range manyGroups {
		if asked[g].got.Err != nil {
			continue
		}
		c := &caller{s: s, what: fmt.Sprint("get k of group ", g)}
		s.until("a leader", func() bool { return s.led(nil) == manyGroups })
		for _, n := range s.nodes {
			if n.doors[g].Status().Ready && !c.done {
				n.doors[g].Query([]byte("k"), c)
			}
		}
		if got := s.done(c); got != fmt.Sprint(g) {
			t.Fatalf("group %d answers %q", g, got)
		}
	}
}

// G-06 The one journal of many groups dies: within the bound for a disk that stands still, the others lead every group.
func TestG06ManyGroupsShareAJournalThatDies(t *testing.T) {
	s := manyGroupsLed(t)
	b := s.nodes[1]
	b.system.Root.Stop(b.shared.Journal)
	for g := range manyGroups {
		b.doors[g].Propose([]byte("put k 1"), &caller{s: s, what: "put"})
	}
	s.within(5*time.Second, "the others lead every group", func() bool { return s.led(b) == manyGroups })
	s.during(time.Second, "it stays so", func() bool { return s.led(b) == manyGroups })
}

// A server that was stopped waits for its machine and its replicators, which may take long. It does nothing more meanwhile.
func TestAServerThatStopsDoesNothingMore(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	for _, m := range a.boxes {
		if m != a.servers[0] {
			m.starve(3 * time.Second)
		}
	}
	s.w.stop(a)
	stopped := func() bool { return s.status(a).Role == actors.Stopped }
	s.until("n1 says that it is stopped", stopped)
	s.during(2*time.Second, "n1 says that it is stopped", stopped)
	s.until("n1 runs again", func() bool { return !stopped() })
	s.settled()
}
