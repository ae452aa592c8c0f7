package simulation

import (
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// quiescent waits until the leader's pulse speaks for it.
func quiescent(t *testing.T, nodes int) *scenario {
	t.Helper()
	s := newCluster(t, nodes)
	s.rests()
	return s
}

func (s *scenario) rests() {
	s.t.Helper()
	before := s.w.pulses
	s.within(3*time.Second, "the leader is quiescent", func() bool { return s.w.pulses > before })
	s.pass(3 * electionTimeout) // and its followers sleep
}

func TestAQuiescentGroupSendsNothing(t *testing.T) {
	s := quiescent(t, 3)
	term := s.status(s.nodes[0]).Term
	sent := s.copies(appendEntries)
	s.during(20*time.Second, "the first node leads", func() bool { return s.leads(s.nodes[0]) && s.status(s.nodes[0]).Term == term })
	if len(sent.kept) > 0 {
		t.Fatalf("%d messages were sent to followers", len(sent.kept))
	}
	s.put("put k 1")
	s.rests()
	if s.status(s.nodes[0]).Term != term {
		t.Fatal("there was an election")
	}
}

func TestTheFollowersOfAQuiescentLeaderStandWhenItDies(t *testing.T) {
	s := quiescent(t, 3)
	s.crash(s.nodes[0], true)
	s.within(2*2*electionTimeout, "another leads", func() bool { return s.leads(s.nodes[1]) || s.leads(s.nodes[2]) })
}

func TestTheFollowersOfAQuiescentLeaderStandWhenItIsStuck(t *testing.T) {
	s := quiescent(t, 3)
	s.nodes[0].servers[0].starve(10 * time.Second)
	s.within(3*2*electionTimeout, "another leads", func() bool { return s.leads(s.nodes[1]) || s.leads(s.nodes[2]) })
}

func TestAQuiescentLeaderThatIsCutOffStepsDown(t *testing.T) {
	s := quiescent(t, 3)
	s.isolate(s.nodes[0])
	s.within(2*electionTimeout, "it does not lead", func() bool { return !s.leads(s.nodes[0]) })
}

func TestAQuiescentLeaderThatHearsNobodyStepsDown(t *testing.T) {
	s := quiescent(t, 3)
	s.cutOneWay(s.nodes[1], s.nodes[0])
	s.cutOneWay(s.nodes[2], s.nodes[0])
	s.within(2*electionTimeout, "it does not lead", func() bool { return !s.leads(s.nodes[0]) })
}

// What was answered before a leader was stuck tells nothing of now. Its pulse did not speak for it meanwhile.
func TestAQuiescentLeaderThatWasStuckIsNotHeardByOldAnswers(t *testing.T) {
	s := quiescent(t, 3)
	answers := s.copies(is[*messages.PulseReply])
	s.until("an answer is on its way", func() bool { return len(answers.kept) > 0 })
	s.nodes[0].pause()
	s.pass(electionTimeout / 10)
	s.isolate(s.nodes[0])
	s.query(s.nodes[0], "k") // which the leader looks at before its pulse forgets who answered
	s.pass(2 * electionTimeout)
	s.nodes[0].resume()
	s.within(electionTimeout/2, "it does not lead", func() bool { return !s.leads(s.nodes[0]) })
}

// A follower that starts again has not heard the leader. It neither waits for an election timeout nor makes anybody stand.
func TestAFollowerThatStartsAgainHearsItsQuiescentLeader(t *testing.T) {
	s := quiescent(t, 3)
	term := s.status(s.nodes[0]).Term
	s.crash(s.nodes[2], true)
	s.restart(s.nodes[2])
	s.within(electionTimeout, "it knows the leader", func() bool { return s.status(s.nodes[2]).LeaderID == "n1" })
	s.pass(10 * electionTimeout)
	if !s.leads(s.nodes[0]) || s.status(s.nodes[0]).Term != term {
		t.Fatal("there was an election")
	}
}

// What a follower asks a quiescent leader for may be lost. It is asked again when the leader is heard, so the leader must be heard.
func TestWhatAQuiescentLeaderWasAskedForIsAskedAgain(t *testing.T) {
	s := quiescent(t, 3)
	lost := s.drop(is[*messages.ReadIndex])
	read := s.query(s.nodes[1], "k")
	s.until("the question is lost", func() bool { return lost.matched > 0 })
	lost.end()
	s.within(300*time.Millisecond, "the read is answered", read.answered)
	if a := s.answer(read); a.Err != nil {
		t.Fatal(a.Err)
	}
}

// Nodes answer for their followers, and say that those do not rest under this leader: they are not heard by that.
func TestALeaderWhoseFollowersDoNotRestHearsNobody(t *testing.T) {
	s := quiescent(t, 2)
	s.goesOn(s.nodes[0], s.nodes[1], s.status(s.nodes[0]).Term+1)
	s.drop(func(p packet) bool { return p.to == s.nodes[0] && !is[*messages.PulseReply](p) })
	s.within(2*electionTimeout, "it does not lead", func() bool { return !s.leads(s.nodes[0]) })
}

// Who hears the pulse of its leader's node hears its leader: a candidate is refused.
func TestTheFollowersOfAQuiescentLeaderAreSticky(t *testing.T) {
	s := quiescent(t, 3)
	term := s.status(s.nodes[0]).Term
	s.forge(s.nodes[2], s.nodes[1], &messages.RequestVote{
		Header: s.header(s.nodes[2], s.nodes[1], term+1), LastLogIndex: 9, LastLogTerm: term,
	})
	s.pass(electionTimeout)
	if now := s.status(s.nodes[1]).Term; now != term {
		t.Fatalf("the follower is in term %d", now)
	}
}

// goesOn has a follower vote in the next term, as if its leader had handed over.
func (s *scenario) goesOn(candidate, voter *node, term uint64) {
	s.forge(candidate, voter, &messages.RequestVote{
		Header: s.header(candidate, voter, term), LastLogIndex: 9, LastLogTerm: term - 1, Transfer: true,
	})
}

// A follower that went on to a later term does not rest under its leader any more, and lets it know.
func TestAQuiescentLeaderLearnsALaterTerm(t *testing.T) {
	s := quiescent(t, 3)
	term := s.status(s.nodes[0]).Term
	s.goesOn(s.nodes[2], s.nodes[1], term+1)
	s.until("the follower has a later term", func() bool { return s.status(s.nodes[1]).Term > term })
	s.within(300*time.Millisecond, "so has the leader", func() bool { return s.status(s.nodes[0]).Term > term })
}

// A candidate is refused while the pulse of the leader's node is heard.
func TestAQuiescentLeaderIsKept(t *testing.T) {
	s := quiescent(t, 3)
	term := s.status(s.nodes[0]).Term
	s.cut(s.nodes[0], s.nodes[2])
	s.during(10*electionTimeout, "the first node leads", func() bool { return s.leads(s.nodes[0]) })
	s.heal()
	s.pass(4 * electionTimeout)
	if s.status(s.nodes[0]).Term != term || s.status(s.nodes[2]).Role != actors.Follower {
		t.Fatal("there was an election")
	}
}

// A wiped follower lacks nothing that its empty log knows of. It must not rest: the leader thinks that it has all.
func TestAWipedFollowerDoesNotRest(t *testing.T) {
	s := newCluster(t, 3)
	wiped := s.nodes[2]
	s.put("put k 1")
	s.pass(electionTimeout / 2)
	s.crash(wiped, true)
	wiped.disk = newDisk(1)
	s.restart(wiped)
	wiped.wiped = true
	answers := func(p packet) bool { return p.from == wiped && is[*messages.AppendEntriesReply](p) }
	lost, before := s.drop(answers), s.w.pulses
	s.within(electionTimeout, "the leader is quiescent", func() bool { return s.w.pulses > before })
	if lost.end(); lost.matched == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
	again := s.copies(answers)
	s.within(2*electionTimeout, "the leader hears it", func() bool { return len(again.kept) > 0 })
}
