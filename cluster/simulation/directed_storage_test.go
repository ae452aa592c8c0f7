package simulation

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Directed tests for the group P of CATALOGUE.md.

// ask forges a RequestVote of a candidate whose log is as good as the voter's.
func (s *scenario) ask(candidate, voter *node, term uint64) {
	last, lastTerm := lastOnDisk(voter)
	s.forge(candidate, voter, &messages.RequestVote{
		Header: s.header(candidate, voter, term), LastLogIndex: last, LastLogTerm: lastTerm, Round: 1,
	})
}

func lastOnDisk(n *node) (index, term uint64) {
	entries := n.disk.groups[0].log.ids
	return uint64(len(entries)), entries[len(entries)-1].term
}

// orphan lets a node hear no leader and no candidate any more.
func (s *scenario) orphan(n *node) {
	s.drop(func(p packet) bool { return p.to == n && (appendEntries(p) || requestVote(p)) })
	s.drop(func(p packet) bool { return p.from == n && requestVote(p) })
	s.pass(2 * time.Second)
}

// P-01 The power fails before or after a vote is synced. Before: the vote was not given. After: the vote is remembered.
func TestP01AtMostOneVoteInATermOverAPowerLoss(t *testing.T) {
	for _, written := range []bool{false, true} {
		t.Run(fmt.Sprintf("written %v", written), func(t *testing.T) {
			s := newCluster(t, 3)
			a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
			s.orphan(b)
			grants := s.hold(requestVoteReply)
			s.stopDisk(b)
			s.ask(a, b, 50)
			s.pass(100 * time.Millisecond)
			if b.doors[0].Status().Term != 50 || len(grants.kept) > 0 {
				t.Fatalf("in term %d, %d replies before the sync", s.status(b).Term, len(grants.kept))
			}
			s.crash(b, written)
			b.disk.slow = 0
			s.restart(b)
			s.ask(c, b, 50)
			granted := grants.first("an answer").original.(*messages.RequestVoteReply).Granted
			if granted == written {
				t.Fatalf("the vote for n1 was stored: %v, n3 got one: %v", written, granted)
			}
		})
	}
}

// P-01 A candidate that loses power before its own vote is durable has asked nobody, and is free to vote for another.
func TestP01ACandidateAsksWhenItsOwnVoteIsDurable(t *testing.T) {
	s := newCluster(t, 3)
	a, c := s.nodes[1], s.nodes[2]
	s.isolate(s.nodes[0])
	asked := s.hold(func(p packet) bool { return requestVote(p) && !p.original.(*messages.RequestVote).PreVote })
	s.stopDisk(a)
	s.drop(func(p packet) bool { return p.from == c && requestVote(p) })
	term := s.status(a).Term + 1
	s.until("n2 stands", func() bool { return s.status(a).Term == term })
	s.pass(100 * time.Millisecond)
	if len(asked.kept) > 0 {
		t.Fatal("asked before the own vote was durable")
	}
	s.crash(a, false)
	a.disk.slow = 0
	replies := s.hold(requestVoteReply)
	s.restart(a)
	s.ask(c, a, term)
	if !replies.first("an answer").original.(*messages.RequestVoteReply).Granted {
		t.Fatal("no vote, although none was given")
	}
}

// P-02 Term and vote are one record: whenever the power fails, a vote of term 5 is not one of term 6.
func TestP02ANewTermNeverKeepsTheVoteOfTheOld(t *testing.T) {
	for _, written := range []bool{false, true} {
		s := newCluster(t, 3)
		a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
		s.orphan(b)
		s.ask(a, b, 50)
		s.until("the vote is stored", func() bool { return b.disk.groups[0].hard.Term == 50 })
		s.stopDisk(b)
		s.forge(c, b, &messages.RequestVote{Header: s.header(c, b, 51), LastLogIndex: 0, Round: 1}) // refused: its log is empty
		s.until("term 51 is seen", func() bool { return s.status(b).Term == 51 })
		s.pass(time.Millisecond)
		s.crash(b, written)
		b.disk.slow = 0
		s.restart(b)
		hard := b.disk.groups[0].hard
		if want := (map[bool]string{false: "50 n1", true: "51 "})[written]; fmt.Sprint(hard.Term, " ", hard.Vote) != want {
			t.Fatalf("written %v: restarted with %+v", written, hard)
		}
		replies := s.hold(requestVoteReply)
		s.ask(c, b, 51)
		if !replies.first("an answer").original.(*messages.RequestVoteReply).Granted {
			t.Fatalf("written %v: nobody gets a vote in term 51", written)
		}
	}
}

// P-10 An append fails once, and space returns: the node promises nothing more until it is started again, and then has no gap.
func TestP10AFailedAppendLeavesNoGap(t *testing.T) {
	for _, kind := range []failure{onWrite, onSync, whenFull} {
		t.Run(string(faultOf[kind]), func(t *testing.T) {
			s := newCluster(t, 3)
			b := s.nodes[2]
			s.put("put k 1")
			s.settled()
			before := s.status(b).DurableIndex
			b.disk.breaks(kind)
			s.put("put k 2")
			s.until("n3 failed", func() bool { return s.status(b).Role == actors.Failed })
			b.disk.breaks(none)
			claims := s.drop(func(p packet) bool {
				m, ok := p.original.(*messages.AppendEntriesReply)
				return ok && p.from == b && m.Error == ""
			})
			s.put("put k 3")
			s.pass(3 * time.Second)
			if s.status(b).DurableIndex != before || len(s.disk(b)) >= len(s.disk(s.nodes[0])) {
				t.Fatalf("durable rose from %d to %+v", before, s.status(b))
			}
			s.crash(b, true)
			claims.end()
			s.restart(b)
			s.put("put k 4")
			s.settled()
			if s.disk(b) != s.disk(s.nodes[0]) {
				t.Fatalf("%s, not %s", s.disk(b), s.disk(s.nodes[0]))
			}
		})
	}
}

// from forges AppendEntries of a leader whose entries all have its term.
func (s *scenario) from(leader, to *node, term, prev, prevTerm uint64, commands ...string) {
	m := &messages.AppendEntries{Header: s.header(leader, to, term), PrevLogIndex: prev, PrevLogTerm: prevTerm, Round: 1}
	for _, c := range commands {
		m.Entries = append(m.Entries, messages.EncodeEntry(term, messages.Entry_KIND_COMMAND, []byte(c)))
	}
	s.forge(leader, to, m)
}

// P-11 The journal has two versions of index 3 for one commit: the newer wins.
func TestP11OfTwoVersionsInOneCommitTheNewerWins(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.orphan(b)
	s.stopDisk(b)
	last, lastTerm := lastOnDisk(b)
	s.from(a, b, 50, last, lastTerm, "put k 1")
	s.until("a commit is being written", func() bool { return b.disk.writing != nil })
	s.from(a, b, 50, last+1, 50, "put k 2", "put k 3", "put k 4")
	s.pass(time.Millisecond)
	s.from(c, b, 51, last+2, 50, "put k 5")
	s.pass(time.Millisecond)
	b.disk.write(b)
	s.until("both versions are in one commit", func() bool { return b.disk.writing != nil })
	s.crash(b, true)
	s.restart(b) // and compares what it finds with what was synced
	want := fmt.Sprintf("1@%d 2@50 3@50 4@51", lastTerm)
	if got := s.disk(b); last != 1 || got != want || s.status(b).LastIndex != 4 || recovered(t, b).Spans[2].Term != 51 {
		t.Fatalf("%s, not %s", got, want)
	}
}

func recovered(t *testing.T, n *node) persistence.Recovered {
	t.Helper()
	r, err := n.store.Recover(1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// P-13 A follower hears that 20 entries are committed, and has none of them on its disk: it applies none, and none is skipped after
// a power loss.
func TestP13NothingIsAppliedAboveWhatIsDurable(t *testing.T) {
	s := newCluster(t, 3)
	b := s.nodes[2]
	before := s.status(b).AppliedIndex
	s.stopDisk(b)
	for i := range 20 {
		s.put(fmt.Sprintf("put k %d", i))
	}
	s.until("n3 knows of the commits", func() bool { return s.status(b).CommitIndex >= before+20 })
	if now := s.status(b); now.AppliedIndex != before || now.DurableIndex != before {
		t.Fatalf("%+v", now)
	}
	s.crash(b, false)
	b.disk.slow = 0
	s.restart(b)
	s.put("put k 20")
	s.settled()
}

// P-18 The power fails everywhere, at any moment under load: every acknowledged write is still there.
func TestP18AcknowledgedWritesSurviveAPowerLossOfAll(t *testing.T) {
	s := newCluster(t, 3)
	for i := range 30 {
		s.until("a leader is ready", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
		var asked []*caller
		for j := range 10 {
			asked = append(asked, s.propose(s.leader(), fmt.Sprintf("put k%d %d", j, i)))
		}
		s.pass(time.Duration(i) * 100 * time.Microsecond)
		for j, n := range s.nodes {
			s.crash(n, (i+j)%2 == 0)
		}
		for _, n := range s.nodes {
			s.restart(n)
		}
		s.until("a leader is ready", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
		for j, c := range asked {
			if c.done && c.got.Err == nil {
				if got := s.done(s.query(s.leader(), fmt.Sprintf("k%d", j))); got != fmt.Sprint(i) {
					t.Fatalf("round %d: k%d is %q, although %s was acknowledged", i, j, got, c.what)
				}
			}
		}
	}
}

// P-18 Two nodes are paused, a third loses power; it starts, the two resume, and the two others are paused. The new majority shares
// only that third node with the old one.
func TestP18OnePowerLossInTheOverlapOfTwoMajorities(t *testing.T) {
	s := newCluster(t, 5)
	s.nodes[3].pause()
	s.nodes[4].pause()
	unread := s.drop(func(p packet) bool { return p.to.paused })
	s.put("put k 1") // by n1, n2 and n3
	s.crash(s.nodes[2], false)
	s.nodes[0].pause()
	s.nodes[1].pause()
	s.restart(s.nodes[2])
	unread.end()
	s.nodes[3].resume()
	s.nodes[4].resume()
	s.until("n3 leads", func() bool { return s.leads(s.nodes[2]) && s.status(s.nodes[2]).Ready })
	if got := s.done(s.query(s.nodes[2], "k")); got != "1" {
		t.Fatalf("%q", got)
	}
}

// P-19 The journal dies with entries in its mailbox, and nothing more is sent: the leader steps down within bounded time, and the
// others go on. No client is told of a success.
func TestP19TheJournalDies(t *testing.T) {
	const stall = 2 * time.Second
	s := newScenarioOf(t, Options{Nodes: 3, Timing: actors.Timing{DiskStall: stall}})
	a := s.nodes[0]
	s.elect(a)
	s.put("put k 1")
	s.settled()
	s.stopDisk(a)
	one := s.propose(a, "put x 1")
	s.until("a commit is being written", func() bool { return a.disk.writing != nil })
	a.system.Root.Stop(a.shared.Journal)
	two := s.propose(a, "put y 1")
	s.within(stall+time.Second, "n1 steps down", func() bool { return !s.leads(a) })
	s.until("another leads", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
	if one.done && one.got.Err == nil || two.done && two.got.Err == nil {
		t.Fatal("success, although nothing more reached the disk of the leader that answers")
	}
	s.put("put k 2")
	s.during(5*time.Second, "n1 does not lead again", func() bool { return !s.leads(a) })
	s.crash(a, true)
	a.disk.slow = 0
	s.restart(a)
	s.put("put k 3")
	s.settled()
}
