package simulation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for the groups F and N of CATALOGUE.md.

// keepsLeading says that a node leads, in the term that it has now.
func (s *scenario) keepsLeading(n *node) func() bool {
	term := s.status(n).Term
	return func() bool { return s.leads(n) && s.status(n).Term == term }
}

// F-09 Every sync takes three election timeouts or more, on the leader, on a follower, on all: no leader changes, writes are done, and
// nobody gets a vote because of it.
func TestF09ASlowDiskCausesNoElection(t *testing.T) {
	timing := actors.Timing{Heartbeat: 50 * time.Millisecond, Election: 200 * time.Millisecond}
	for name, slow := range map[string][]int{"leader": {0}, "follower": {1}, "all": {0, 1, 2}} {
		t.Run(name, func(t *testing.T) {
			s := newScenarioOf(t, Options{Nodes: 3, Timing: timing})
			a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
			s.elect(a)
			s.settled()
			for _, i := range slow {
				s.nodes[i].disk.slow = 4 * 3 * timing.Election
			}
			leads := s.keepsLeading(a)
			for i := range 5 {
				x := s.propose(a, fmt.Sprintf("put k %d", i))
				s.during(time.Second, "n1 leads", leads)
				s.ask(c, b, s.status(b).Term+1)
				s.ask(b, a, s.status(a).Term+1)
				s.during(4*time.Second, "n1 leads", leads)
				if !x.done || x.got.Err != nil {
					s.fatal("%s is not done: %+v", x.what, x.got)
				}
			}
		})
	}
}

// stall suspends the state machine of a node, or lets it go on.
func (s *scenario) stall(n *node, yes bool) {
	machine := n.boxes[n.servers[0].place+1]
	machine.suspended = yes
	s.w.enqueue(machine)
}

// F-07 The state machine of n2 stands still for ten minutes, n3 hangs, and the load goes on. The group goes on, too, and no mailbox
// grows beyond the bounds. Afterwards all catch up.
func TestF07WhatStandsStillCostsBoundedMemory(t *testing.T) {
	limits := actors.Limits{InflightMessages: 4, InflightBytes: 400, TailBytes: 300, MessageBytes: 100, ApplyEntries: 10}
	s := newScenarioOf(t, Options{Nodes: 3, Limits: limits})
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.elect(a)
	s.settled()
	s.stall(b, true)
	heard, most := 0, 0
	s.drop(func(p packet) bool {
		if p.to == c {
			heard++
		}
		most = max(most, longestMailbox(a), longestMailbox(b))
		return p.to == c // it hangs: nothing is acknowledged
	})
	leads, puts := s.keepsLeading(a), 0
	start := s.w.now
	for s.w.now-start < 10*time.Minute {
		for range 3 {
			s.put(fmt.Sprintf("put k%d x%s", puts%7, strings.Repeat("x", puts%90)))
			puts++
		}
		s.during(time.Second, "n1 leads", leads)
	}
	if applied := s.status(b).AppliedIndex; applied > 20 {
		t.Fatalf("the machine stood still, and applied %d", applied)
	}
	if seconds := int((s.w.now - start) / time.Second); heard > 16*seconds {
		t.Errorf("n3 was sent %d messages in %d s", heard, seconds)
	}
	if most > 20 {
		t.Errorf("a mailbox had %d messages", most)
	}
	s.w.mustAll(t, puts)
	s.stall(b, false)
	s.holds = nil
	s.settled()
}

func longestMailbox(n *node) int {
	most := 0
	for _, m := range n.boxes {
		most = max(most, len(m.user))
	}
	return most
}

// mustAll makes sure that the puts were many, and that all are committed.
func (w *world) mustAll(t *testing.T, puts int) {
	t.Helper()
	if got := len(w.truth[0].committed); got < puts || puts < 1000 {
		t.Fatalf("%d of %d puts are committed", got, puts)
	}
}

// poison is a machine that panics at one command.
func poison(command string, on func() bool) Machine {
	m := Registers()
	m.New = func() actors.StateMachine { return poisoned{registers{}, command, on} }
	return m
}

type poisoned struct {
	registers
	command string
	on      func() bool
}

func (p poisoned) Apply(entries []actors.Entry) []actors.Result {
	for _, e := range entries {
		if string(e.Command) == p.command && p.on() {
			panic(injectedPanic)
		}
	}
	return p.registers.Apply(entries)
}

// F-10 The state machine panics at a command, everywhere: a node that comes to it stops and says so, the client is told, and a restart
// does not skip the command.
func TestF10APanicInApplyStopsEveryNode(t *testing.T) {
	poisonous := true
	s := newScenarioOf(t, Options{Nodes: 3})
	s.w.machine = poison("put k poison", func() bool { return poisonous })
	s.restartAll()
	s.put("put k 1")
	if a := s.answer(s.propose(s.leader(), "put k poison")); a.Err == nil {
		t.Fatal("success")
	}
	for range 3 {
		s.until("a majority stopped", func() bool { return s.failures() >= 2 })
		for _, n := range s.nodes {
			failed := s.status(n).Role == actors.Failed
			if failed != (s.status(n).Err != nil) || s.answer(s.propose(n, "put k 2")).Err == nil || s.answer(s.query(n, "k")).Err == nil {
				t.Fatal(s.w.describe())
			}
		}
		s.restartAll()
	}
	poisonous = false
	s.restartAll()
	s.until("a leader is ready", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
	if got := s.done(s.query(s.leader(), "k")); got != "poison" {
		t.Fatalf("the command that panicked was skipped: %q", got)
	}
}

func (s *scenario) restartAll() {
	for _, n := range s.nodes {
		s.crash(n, true)
	}
	for _, n := range s.nodes {
		s.restart(n)
	}
}

// F-10 It panics on one node: that one stops and says so, the others go on, and after a restart it has all that they have.
func TestF10APanicInApplyOnOneNode(t *testing.T) {
	for place, name := range []string{"leader", "follower"} {
		t.Run(name, func(t *testing.T) {
			s := newCluster(t, 3)
			b := s.nodes[place]
			b.disk.panics = true
			x := s.propose(s.nodes[0], "put k 1")
			s.until("it stops", func() bool { return s.failures() == 1 && s.status(b).Err != nil })
			if a := s.answer(x); (a.Err == nil) != (place == 1) {
				t.Fatalf("%+v", a)
			}
			s.put("put k 2")
			s.crash(b, true)
			s.restart(b)
			s.put("put k 3")
			s.settled()
		})
	}
}

func (s *scenario) failures() int {
	count := 0
	for _, n := range s.nodes {
		if s.status(n).Role == actors.Failed {
			count++
		}
	}
	return count
}

// F-11 A follower is paused for five seconds, with heartbeats and late timers in its mailbox: it decides nothing. A leader that is
// paused has one successor, in the next term, and deposes nobody.
func TestF11APauseIsOneDecisionAtMost(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	term := s.status(a).Term
	votes := 0
	s.drop(func(p packet) bool {
		if p.from.paused || !requestVote(p) {
			return false
		}
		votes++
		return false
	})
	b.pause()
	s.pass(5 * time.Second)
	b.resume()
	s.during(3*time.Second, "n1 leads", s.keepsLeading(a))
	if votes != 0 {
		t.Fatalf("%d requests for votes", votes)
	}
	a.pause()
	s.until("a successor", func() bool { return s.leads(b) || s.leads(s.nodes[2]) })
	s.pass(5 * time.Second)
	a.resume()
	s.settled()
	s.pass(3 * time.Second)
	if got := s.status(s.leader()).Term; s.leads(a) || got != term+1 {
		t.Fatalf("term %d, then %d", term, got)
	}
}

// N-01 The addresses of n2 and n3 are swapped, and those of two groups: whoever gets what was meant for another drops it.
func TestN01MailForAnotherNodeOrGroup(t *testing.T) {
	s := newScenarioOf(t, Options{Nodes: 3, Groups: 2})
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.elect(a)
	s.settled()
	misrouted := s.hold(func(p packet) bool { return p.from == a })
	x := s.propose(a, "put k 1")
	logs, terms := s.log(b)+s.log(c), s.status(b).Term+s.status(c).Term
	delivered := 0
	for start := s.w.now; s.w.now < start+300*time.Millisecond; {
		s.pass(time.Millisecond)
		kept := misrouted.kept
		misrouted.kept = nil
		for _, p := range kept {
			other := p
			other.to = map[*node]*node{b: c, c: b}[p.to]
			s.deliver(other)
			p.target = map[string]string{"raft/g0": "raft/g1", "raft/g1": "raft/g0"}[p.target]
			if p.target != "" {
				s.deliver(p)
				delivered++
			}
		}
	}
	if s.log(b)+s.log(c) != logs || s.status(b).Term+s.status(c).Term != terms || delivered < 6 {
		t.Fatal(delivered, s.w.describe())
	}
	s.until("n1 steps down: it hears nobody", func() bool { return !s.leads(a) })
	if x.done && x.got.Err == nil {
		t.Fatal("success")
	}
	misrouted.end()
	s.put("put k 2")
	s.settled()
}

// N-01 n3 is gone, and what n2 answers reaches the leader's replicator for n3: it is no contact and no acknowledgement.
func TestN01AnswersAtAnotherReplicator(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	ofC := s.hold(func(p packet) bool { return p.to == c && appendEntries(p) })
	target := ofC.first("a heartbeat").sender.Id
	s.cut(a, c)
	answers := s.hold(func(p packet) bool { return p.from == b && appendEntriesReply(p) })
	x := s.propose(a, "put k 1")
	for start := s.w.now; s.w.now < start+300*time.Millisecond; {
		s.pass(time.Millisecond)
		kept := answers.kept
		answers.kept = nil
		for _, p := range kept {
			p.target = target
			s.deliver(p)
		}
	}
	if x.done {
		t.Fatalf("%+v", x.got)
	}
	s.within(time.Second, "n1 steps down: it hears nobody", func() bool { return !s.leads(a) })
}

// N-04 Every message is damaged by one bit: no term and no log changes, and the leader steps down. After that nothing is lost.
func TestN04DamagedMessagesChangeNothing(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	s.put("put k 1")
	s.settled()
	logs := s.log(s.nodes[1]) + s.log(s.nodes[2])
	s.w.chaos, s.w.options.Faults = true, Faults{Corrupt: 1}
	x := s.propose(a, "put k 2")
	s.during(20*time.Second, "terms stay", func() bool {
		return s.status(s.nodes[1]).Term == 1 && s.status(s.nodes[2]).Term == 1 && s.status(a).Term == 1
	})
	if s.leader() != nil || s.log(s.nodes[1])+s.log(s.nodes[2]) != logs || s.answer(x).Err == nil || s.w.hits_[Corrupt] < 100 {
		t.Fatal(s.w.describe(), s.w.hits_)
	}
	s.w.chaos = false
	s.put("put k 3")
	s.settled()
}

// N-05 Requests of a node that does not know the cluster, replies of one that is not a member, and answers that nobody asked for change
// nothing.
func TestN05UnknownSenders(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	before := s.status(a)
	leads := s.keepsLeading(a)
	for _, h := range []*messages.Header{s.header(b, a, 9), nil, {}} {
		if h != nil && h.From != "" {
			h.From = "n9"
		}
		asks := proto.CloneOf(h)
		if asks != nil {
			asks.ClusterId = 0 // who knows it is heard
		}
		s.forge(b, a, &messages.RequestVoteReply{Header: h, Granted: true})
		s.forge(b, a, &messages.RequestVoteReply{Header: h, Granted: true, PreVote: true})
		s.forge(b, a, &messages.RequestVote{Header: asks, LastLogIndex: 99, LastLogTerm: 9})
		s.forge(b, a, &messages.AppendEntries{Header: asks})
		s.forge(b, a, &messages.AppendEntriesReply{Header: h})
	}
	s.forge(b, a, &messages.AppendEntriesReply{Header: s.header(b, a, 1), ConflictIndex: 99, ConflictTerm: 99, Round: 99})
	s.forge(b, a, &messages.AppendEntriesReply{Header: s.header(b, a, 1), Success: true, MatchIndex: 99, Round: 99})
	s.forge(b, a, &messages.RequestVoteReply{Header: s.header(b, a, 1), Granted: true})
	s.during(time.Second, "n1 leads", leads)
	if now := s.status(a); now != before {
		t.Fatalf("%+v, then %+v", before, now)
	}
}

// N-06 Nothing can be sent to n2: n3 gets its heartbeats at the full rate, and entries at once.
func TestN06OneDeadPeerDoesNotEndTheBroadcast(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	beats := 0
	s.drop(func(p packet) bool {
		if p.from == a && p.to == c {
			beats++
		}
		return false
	})
	lost := s.drop(func(p packet) bool { return p.to == b })
	s.during(10*time.Second, "n1 leads", s.keepsLeading(a))
	if beats < 95 || beats > 110 {
		t.Fatalf("%d heartbeats in 10 s", beats)
	}
	s.put("put k 1")
	lost.end()
	s.settled()
}

// When all faults end, nodes run that are broken but have not been told so yet.
func TestAPanicAtTheLastMomentIsHealed(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[1]
	s.put("put k 1")
	s.until("it is applied", func() bool { return s.status(a).AppliedIndex == s.status(s.nodes[0]).AppliedIndex })
	a.disk.panics = true
	a.doors[0].QueryStale([]byte("k"), &caller{s: s, what: "a query that panics"})
	s.until("it panics", func() bool { return a.panicked })
	if a.failed() {
		t.Fatal("it is told at once: the test shows nothing")
	}
	s.w.heal()
	s.pass(electionTimeout)
	if a.failed() {
		t.Fatal("it is still broken")
	}
}
