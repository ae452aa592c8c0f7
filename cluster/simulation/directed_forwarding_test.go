package simulation

import (
	"errors"
	"fmt"
	"testing"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for what a member asks its leader.

func forward(p packet) bool      { return is[*messages.Forward](p) }
func forwardReply(p packet) bool { return is[*messages.ForwardReply](p) }
func readIndex(p packet) bool    { return is[*messages.ReadIndex](p) }

// A message of proposals is lost, and fills the window. Its caller learns that nobody knows, and the next ones are asked.
func TestALostForwardHoldsUpNobodyForGood(t *testing.T) {
	limits := actors.Limits{SnapshotAfter: 1 << 40, InflightBytes: 1, MessageBytes: 1}
	s := newScenarioOf(t, Options{Nodes: 3, Limits: limits})
	a, b := s.nodes[0], s.nodes[1]
	s.elect(a)
	s.settled()
	lost := s.drop(forward)
	first, second := s.propose(b, "put k 1"), s.propose(b, "put k 2")
	s.until("the first is lost", func() bool { return lost.matched > 0 })
	lost.end()
	if got := s.answer(first); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	s.within(electionTimeout, "the second is answered", second.answered)
	if got := s.done(second); got != "" {
		t.Errorf("k was %q", got)
	}
}

// A leader that always has entries to send sends few heartbeats, or none. What was lost is given up, and asked again, all the same.
func TestALeaderThatIsBusyHoldsUpNobody(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.drop(func(p packet) bool { return p.to == b && appendEntries(p) && entriesOf(p) == 0 })
	lost := s.drop(func(p packet) bool { return forward(p) || readIndex(p) })
	write, read := s.propose(b, "put k 1"), s.query(b, "k")
	s.until("both are lost", func() bool { return lost.matched > 1 })
	lost.end()
	for n := range 60 {
		s.propose(a, fmt.Sprintf("put x %d", n))
		s.pass(electionTimeout / 20)
	}
	if !write.done || !errors.Is(write.got.Err, actors.ErrOutcomeUnknown) {
		t.Errorf("the write: %v, %v", write.done, write.got.Err)
	}
	if !read.done || read.got.Err != nil {
		t.Errorf("the read: %v, %v", read.done, read.got.Err)
	}
}

// What a member forwards after a restart is not taken for what it forwarded before.
func TestAMemberForwardsAfterARestart(t *testing.T) {
	s := newCluster(t, 3)
	b := s.nodes[1]
	for n := range 3 {
		s.done(s.propose(b, fmt.Sprintf("put k %d", n)))
	}
	s.crash(b, true)
	s.restart(b)
	s.settled()
	s.until("b knows the leader", func() bool { return s.status(b).LeaderID != "" })
	if got := s.done(s.propose(b, "put k x")); got != "2" {
		t.Errorf("k was %q", got)
	}
}

// The network doubles what a member forwards, and the leader that took the first copy starts again: it refuses the second one, and what it
// took is committed by the next leader. Nobody may say that the command was not done.
func TestARefusalAfterARestartIsNoProof(t *testing.T) {
	s := newCluster(t, 2)
	a, b := s.nodes[0], s.nodes[1]
	copies := s.copies(forward)
	entries := s.copies(func(p packet) bool { return p.to == b && entriesOf(p) > 0 })
	unanswered := s.drop(func(p packet) bool { return p.to == a && is[*messages.AppendEntriesReply](p) || forwardReply(p) })
	write := s.propose(b, "put k 1")
	copies.first("the forward")
	copies.end()
	entries.first("its entry")
	s.until("b has the entry", func() bool { return s.status(b).LastIndex > s.status(a).CommitIndex })
	s.crash(a, true)
	s.restart(a)
	unanswered.end()
	copies.release()
	if got := s.answer(write); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	s.settled()
	if got := s.done(s.query(a, "k")); got != "1" {
		t.Errorf("k is %q: the test shows nothing", got)
	}
}

// A wiped node gets the log all the same, by mail that was late. Its leader drops what its callers want: they learn soon that it does not
// lead, and who does.
func TestAWipedNodeRefusesItsCallers(t *testing.T) {
	s := newScenarioOf(t, Options{Nodes: 3})
	a, b := s.nodes[0], s.nodes[1]
	late := s.copies(func(p packet) bool { return p.to == b && entriesOf(p) > 0 })
	s.elect(a)
	s.settled()
	s.swap(b, newDouble())
	asked := s.query(b, "k")
	late.release()
	s.until("the wiped node has the log", func() bool { return s.status(b).LastIndex > 0 })
	read, write := s.query(b, "k"), s.propose(b, "put k 1")
	all := func() bool { return asked.done && read.done && write.done }
	s.within(electionTimeout, "its callers are answered", all)
	for _, c := range []*caller{read, write} {
		var elsewhere *actors.NotLeaderError
		if !errors.As(c.got.Err, &elsewhere) || elsewhere.LeaderID != a.id {
			t.Errorf("%s: %v", c.what, c.got.Err)
		}
	}
}
