package simulation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for the group X of CATALOGUE.md. That sessions are the same on every node at the same index is checked in all of them.

// open opens a session at a node.
func (s *scenario) open(n *node, nonce uint64) messages.SessionID {
	s.t.Helper()
	c := &caller{s: s, what: "the opening of a session at " + n.id}
	n.doors[0].OpenSession(nonce, c)
	opened, err := actors.DecodeOpenedSession([]byte(s.done(c)))
	if err != nil {
		s.t.Fatal(err)
	}
	return opened.ID
}

// proposeIn asks a node for a command of a session.
func (s *scenario) proposeIn(n *node, id messages.SessionID, serial uint64, command string) *caller {
	c := &caller{s: s, what: fmt.Sprintf("%s, serial %d, at %s", command, serial, n.id)}
	n.doors[0].ProposeIn(messages.SessionCommand{Session: id, Serial: serial, Lowest: 1}, []byte(command), c)
	return c
}

// copiesOf says how often a command is in the log as far as it is committed, and how often the machines were given it.
func (s *scenario) copiesOf(command string) (inLog, effects int) {
	t := &s.w.truth[0]
	for i, id := range t.committed {
		if id.hash == contents(messages.Entry_KIND_COMMAND, []byte(command)) {
			inLog++
			if t.results[i] != 0 {
				effects++
			}
		}
	}
	return inLog, effects
}

// once fails the test unless a command took effect once, of so many copies in the log.
func (s *scenario) once(command string, copies int) {
	s.t.Helper()
	s.settled()
	if inLog, effects := s.copiesOf(command); inLog != copies || effects != 1 {
		s.fatal("%q is in the log %d times, and took effect %d times", command, inLog, effects)
	}
}

func TestX02AForwardedCommandIsNotRepeated(t *testing.T) {
	s := newCluster(t, 3)
	b, c := s.nodes[1], s.nodes[2]
	s.put("put k 0")
	id := s.open(b, 7)
	lost := s.drop(forwardReply)
	plain, inSession := s.propose(b, "swap k 0 1"), s.proposeIn(b, id, 1, "swap k 1 2")
	for _, x := range []*caller{plain, inSession} {
		if got := s.answer(x); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
			t.Errorf("%s: %q %v", x.what, got.Value, got.Err)
		}
	}
	lost.end()
	s.once("swap k 0 1", 1)
	s.once("swap k 1 2", 1)
	for _, n := range []*node{c, b} { // swapped again, it would be rejected
		if got := s.done(s.proposeIn(n, id, 1, "swap k 1 2")); got != "swapped" {
			t.Errorf("the answer to the repetition is %q", got)
		}
	}
	s.once("swap k 1 2", 3)
}

func TestX02AForwardThatComesTwiceIsTakenOnce(t *testing.T) {
	s := newCluster(t, 3)
	sent := s.copies(forward)
	s.done(s.propose(s.nodes[1], "put k 1"))
	sent.release()
	s.done(s.propose(s.nodes[1], "put k 2")) // the mailbox is in order
	s.once("put k 1", 1)
}

// What was forwarded to a leader that is deposed may take effect or not: nobody says that it did not.
func TestX07TheCallerAtAFollowerOfADeposedLeader(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	id := s.open(c, 7)
	s.settled()
	acknowledged := s.drop(appendEntriesReply)
	x := s.proposeIn(b, id, 1, "put k 1")
	s.until("b has it", func() bool { return s.status(b).LastIndex > uint64(s.committed()) })
	s.isolate(a)
	acknowledged.end()
	s.elect(b)
	if got := s.answer(x); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	s.heal()
	s.settled()
	s.done(s.proposeIn(c, id, 1, "put k 1"))
	s.once("put k 1", 2)
}

// expiring is a cluster whose sessions end two seconds after their last command.
func expiring(t *testing.T) *scenario {
	limits := actors.Limits{SnapshotAfter: 1 << 40}
	limits.Sessions.Keep, limits.Sessions.TTL = time.Second, 2*time.Second
	s := newScenarioOf(t, Options{Nodes: 3, Limits: limits})
	s.elect(s.nodes[0])
	s.settled()
	return s
}

// X-03 The clocks of the nodes are hours apart, and the leader changes three times: time that no leader counted ends no session. A node
// that replays the log at once has the same sessions as those that lived through it.
func TestX03SessionsExpireByTheTimeOfTheLog(t *testing.T) {
	s := expiring(t)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	b.jumped, c.jumped = time.Hour, -time.Hour
	kept := s.open(b, 1)
	for serial := range uint64(3) {
		s.elect([]*node{b, c, a}[serial])
		s.settled()
		s.done(s.proposeIn(c, kept, serial+1, fmt.Sprintf("put k %d", serial)))
	}
	s.pass(time.Hour) // an idle group writes nothing, and knows no time
	last := s.committed()
	s.pass(time.Hour)
	if s.committed() != last {
		t.Error("an idle group writes")
	}
	s.put("put k x") // an hour has passed here, in the log
	if got := s.answer(s.proposeIn(b, kept, 4, "put k 4")); !errors.Is(got.Err, actors.ErrSessionGone) {
		t.Errorf("%q %v", got.Value, got.Err)
	}
	for _, n := range s.nodes {
		s.crash(n, true)
		s.restart(n)
	}
	s.until("one leads", func() bool { return s.leader() != nil })
	s.settled()
	for _, n := range s.nodes {
		if got := s.answer(s.proposeIn(n, kept, 4, "put k 4")); !errors.Is(got.Err, actors.ErrSessionGone) {
			t.Errorf("%s, after a restart: %q %v", n.id, got.Value, got.Err)
		}
	}
}

// X-04 A command took effect, and a snapshot was taken. Whoever has the snapshot, from its own disk or from the leader, knows the answer.
func TestX04SnapshotsHaveSessionsAndAnswers(t *testing.T) {
	s := newSnapshots(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.put("put k 0")
	id := s.open(a, 7)
	s.done(s.proposeIn(a, id, 5, "swap k 0 5"))
	s.settled()
	s.lags(c) // it gets the snapshot
	s.settled()
	s.crash(b, true)
	s.restart(b)
	s.elect(c)
	s.settled()
	for _, n := range s.nodes {
		if got := s.done(s.proposeIn(n, id, 5, "swap k 0 5")); got != "swapped" {
			t.Errorf("%s: %q", n.id, got)
		}
	}
	if _, effects := s.copiesOf("swap k 0 5"); effects != 1 || s.w.installs == 0 {
		t.Errorf("it took effect %d times, with %d installs", effects, s.w.installs)
	}
}

// X-05 The entry that ends a session and a command of that session cross, in both orders, and around a change of leaders.
func TestX05ACommandCrossesTheEndOfItsSession(t *testing.T) {
	for _, first := range []string{"the end", "the command"} {
		t.Run(first+" comes first", func(t *testing.T) {
			s := expiring(t)
			a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
			id := s.open(a, 1)
			s.done(s.proposeIn(a, id, 1, "put k 1"))
			s.settled()
			s.pass(3 * time.Second) // in the log it has not passed yet
			unanswered := s.drop(appendEntriesReply)
			var command *caller
			if first == "the end" {
				s.propose(a, "put k other")
				command = s.proposeIn(a, id, 2, "put k 2")
			} else {
				command = s.proposeIn(a, id, 2, "put k 2")
				s.propose(a, "put k other")
			}
			s.until("b has both", func() bool { return s.status(b).LastIndex == uint64(s.committed())+2 })
			s.isolate(a)
			unanswered.end()
			s.elect(b)
			if got := s.answer(command); !errors.Is(got.Err, actors.ErrOutcomeUnknown) {
				t.Errorf("%q %v", got.Value, got.Err)
			}
			s.heal()
			s.settled()
			for _, n := range []*node{a, b, c} {
				if got := s.answer(s.proposeIn(n, id, 2, "put k 2")); !errors.Is(got.Err, actors.ErrSessionGone) {
					t.Errorf("%s: %q %v", n.id, got.Value, got.Err)
				}
			}
			if _, effects := s.copiesOf("put k 2"); effects != 0 {
				t.Errorf("it took effect %d times", effects)
			}
		})
	}
}
