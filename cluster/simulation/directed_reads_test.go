package simulation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for the group R of CATALOGUE.md.

func TestR01AReadWaitsForTheFirstCommitOfTheTerm(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.cut(a, c)
	s.drop(func(p packet) bool {
		m, ok := p.original.(*messages.AppendEntries)
		return ok && p.from == a && m.LeaderCommit > 1
	})
	s.put("put k x")
	s.crash(a, true)
	entries := s.hold(func(p packet) bool { return p.from == b && entriesOf(p) > 0 })
	s.elect(b)
	if got := s.status(b); got.CommitIndex != 1 || s.log(b) == "1@1" {
		t.Fatalf("b knows of the commit, or lacks the entry: %+v", got)
	}
	q := s.query(b, "k")
	s.during(electionTimeout/2, "the read waits", func() bool { return !q.done && s.leads(b) })
	entries.release()
	if got := s.done(q); got != "x" {
		t.Errorf("k = %q", got)
	}

	// Also right after restarts, before the log is replayed.
	for _, n := range s.nodes {
		s.crash(n, true)
		s.restart(n)
	}
	s.heal()
	s.until("b or c leads", func() bool { return s.leader() != nil })
	if s.status(s.leader()).Ready {
		t.Error("ready before an entry of the term is committed")
	}
	if got := s.done(s.query(s.leader(), "k")); got != "x" {
		t.Errorf("after restarts, k = %q", got)
	}
}

func TestR07AMinorityReadsNothing(t *testing.T) {
	for asked := range 2 { // a leader, or who follows it
		s := newCluster(t, 5)
		s.put("put k 1")
		s.settled()
		s.partition(s.nodes[:2], s.nodes[2:])
		if got := s.answer(s.query(s.nodes[asked], "k")); !errors.Is(got.Err, actors.ErrNotLeader) {
			t.Errorf("%q %v", got.Value, got.Err)
		}
	}
}

func TestR08NothingIsReadBeforeAQuorumAnswered(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		s := newCluster(t, 3)
		a, b := s.nodes[0], s.nodes[1]
		s.put("put k 1")
		a.pause() // it will still take itself for the leader
		if isolated {
			s.isolate(a)
		}
		s.elect(b)
		s.put("put k 2")
		q := s.query(a, "k")
		a.resume()
		if !s.leads(a) {
			t.Fatal("a knows already")
		}
		// If it hears of its successor before it comes to the read, it asks there.
		got := s.answer(q)
		if heard := !isolated && got.Err == nil && string(got.Value) == "2"; !heard && !errors.Is(got.Err, actors.ErrNotLeader) {
			t.Errorf("%q %v", got.Value, got.Err)
		}
	}
}

// A follower asks for one read index at a time. An answer that comes late belongs to a question that is over.
func TestR09ALateReadIndexAnswersNoLaterRead(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.put("put k 1")
	twice := s.copies(func(p packet) bool { return is[*messages.ReadIndexReply](p) })
	s.done(s.query(b, "k"))
	twice.end()
	s.cutOneWay(a, b) // b hears of nothing new
	s.put("put k 2")
	q := s.query(b, "k")
	s.pass(time.Millisecond)
	twice.release()
	s.during(electionTimeout/2, "the read waits", func() bool { return !q.done })
	s.heal()
	if got := s.done(q); got != "2" {
		t.Errorf("k = %q", got)
	}
}

// A round is under way when a command is committed, and then a follower asks: the round began too early for it.
func TestR09AFollowersReadJoinsNoRoundUnderWay(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.put("put k 1")
	s.settled()
	replies := s.hold(func(p packet) bool { return p.to == a && appendEntriesReply(p) })
	write := s.propose(a, "put k 2")
	s.until("both have it", func() bool { return s.status(b).DurableIndex == s.status(a).LastIndex && len(replies.kept) >= 2 })
	first := s.query(a, "k") // its round begins before the command is committed
	s.pass(time.Millisecond)
	news := s.hold(func(p packet) bool { return p.to == b && appendEntries(p) })
	for _, p := range replies.kept[:2] {
		s.deliver(p)
	}
	s.done(write)
	if first.done {
		t.Fatal("no round is under way")
	}
	second := s.query(b, "k")
	s.pass(time.Millisecond)
	replies.release()
	s.done(first)
	s.during(electionTimeout/5, "b waits for the news", func() bool { return !second.done })
	news.release()
	if got := s.done(second); got != "2" {
		t.Errorf("k = %q", got)
	}
}

// Callers of the leader do not wait for callers who were answered elsewhere.
func TestR10ARoundOfFollowersHoldsUpNobody(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.put("put k 1")
	s.settled()
	replies := s.hold(func(p packet) bool { return p.to == a && appendEntriesReply(p) })
	first := s.query(a, "k")
	s.pass(time.Millisecond)
	ofB, ofC := s.query(b, "k"), s.query(c, "k") // they share the next round
	s.pass(time.Millisecond)
	replies.release()
	s.done(first)
	s.done(ofB)
	s.done(ofC)
	if got := s.done(s.query(a, "k")); got != "1" {
		t.Errorf("k = %q", got)
	}
}

// A follower's read waits until the follower has applied its read index.
func TestR01AFollowerReadsWhatItHasApplied(t *testing.T) {
	s := newCluster(t, 3)
	b := s.nodes[1]
	s.put("put k 1")
	s.settled()
	s.stall(b, true)
	s.put("put k 2")
	q := s.query(b, "k")
	s.during(electionTimeout, "the read waits", func() bool { return !q.done })
	s.stall(b, false)
	if got := s.done(q); got != "2" {
		t.Errorf("k = %q", got)
	}
}

func TestR10AReadEndsThoughItsQuestionWasLost(t *testing.T) {
	for _, lost := range []func(packet) bool{readIndex, func(p packet) bool { return is[*messages.ReadIndexReply](p) }} {
		s := newCluster(t, 3)
		b := s.nodes[1]
		s.put("put k 1")
		drop := s.drop(lost)
		q := s.query(b, "k")
		s.during(electionTimeout/2, "the read waits", func() bool { return !q.done })
		drop.end()
		s.within(electionTimeout/2, "the question is asked again", q.answered)
		if got := s.done(q); got != "1" {
			t.Errorf("k = %q", got)
		}
	}
}

func TestR10ReadsOfABrokenMachineFail(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	a.disk.panics = true
	if got := s.answer(s.propose(a, "put k 1")); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	if got := s.answer(s.query(a, "k")); !errors.Is(got.Err, actors.ErrGroupFailed) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	s.until("another leads", func() bool { return s.leader() != nil && s.leader() != a })
	if got := s.done(s.query(s.leader(), "k")); got != "1" {
		t.Errorf("k = %q", got)
	}
}

func TestR10AReadEndsThoughTheAnswersToItsRoundWereLost(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	s.put("put k 1")
	lost := s.drop(appendEntriesReply)
	q := s.query(a, "k")
	s.during(electionTimeout/4, "it has no answer", func() bool { return !q.done && s.leads(a) })
	lost.end()
	s.within(electionTimeout/2, "the next heartbeats end it", q.answered)
	if got := s.done(q); got != "1" {
		t.Errorf("k = %q", got)
	}
	s.drop(appendEntriesReply)
	q = s.query(a, "k")
	s.within(2*electionTimeout, "stepping down ends it", q.answered)
	if !errors.Is(q.got.Err, actors.ErrNotLeader) {
		t.Errorf("%q %v", q.got.Value, q.got.Err)
	}
}

func TestR11ASingleNodeReadsAllAfterARestart(t *testing.T) {
	s := newCluster(t, 1)
	a := s.nodes[0]
	for i := range 10 {
		s.put(fmt.Sprintf("put k %d", i))
	}
	s.crash(a, false)
	if hard := a.disk.groups[0].hard; hard.Commit == uint64(s.committed()) {
		t.Error("the stored commit index leaves nothing to be found out")
	}
	s.restart(a)
	s.until("it leads", func() bool { return s.leads(a) })
	if got := s.done(s.query(a, "k")); got != "9" {
		t.Errorf("k = %q", got)
	}
}

// A stale read may come before the node's server has begun to run.
func TestAStaleReadThatComesFirstIsAnswered(t *testing.T) {
	s := newCluster(t, 3)
	n := s.nodes[2]
	s.crash(n, true)
	s.restart(n)
	c := &caller{s: s, what: "a stale read"}
	n.doors[0].QueryStale([]byte("k"), c)
	s.done(c)
}
