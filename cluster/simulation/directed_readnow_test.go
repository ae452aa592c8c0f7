package simulation

import (
	"errors"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests of reads that callers make by themselves.

// now asks a node for the value of k on the caller's goroutine.
func (s *scenario) now(n *node, how actors.Consistency) (value string, ok bool) {
	s.t.Helper()
	a, ok := n.doors[0].ReadNow(actors.Read{Consistency: how}, []byte("k"))
	if a.Err != nil {
		s.fatal("k at %s: %v", n.id, a.Err)
	}
	return string(a.Value), ok
}

func TestALeaseAnswersWithoutMail(t *testing.T) {
	s := leased(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	if value, ok := s.now(a, actors.Lease); !ok || value != "1" {
		t.Errorf("the leader answers by lease: %q %v", value, ok)
	}
	if _, ok := s.now(b, actors.Lease); ok {
		t.Error("a follower answers by lease")
	}
	if value, ok := s.now(b, actors.Stale); !ok || value != "1" {
		t.Errorf("a follower answers what may be stale: %q %v", value, ok)
	}
	for _, how := range []actors.Consistency{actors.Linearizable, actors.Bounded} {
		if _, ok := s.now(a, how); ok {
			t.Errorf("consistency %d is answered without mail", how)
		}
	}
}

// A lease lasts as long as it is used, also by reads that the leader does not hear of.
func TestALeaseThatIsUsedGoesOn(t *testing.T) {
	s := leased(t, 3)
	for end := s.w.now + 30*time.Second; s.w.now < end; s.pass(10 * time.Millisecond) {
		if _, ok := s.now(s.nodes[0], actors.Lease); !ok {
			s.fatal("the lease ends")
		}
	}
	s.pass(11 * time.Second)
	if _, ok := s.now(s.nodes[0], actors.Lease); ok {
		t.Error("a lease that nobody uses goes on")
	}
}

// The leader has committed an entry that its own machine is late to apply. A follower has applied it, and somebody read it there.
func TestAReadByLeaseSeesWhatOthersSaw(t *testing.T) {
	s := leased(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	a.machine().starve(electionTimeout / 2)
	write := s.propose(a, "put k 2")
	s.until("the follower has applied it", func() bool { value, _ := s.now(b, actors.Stale); return value == "2" })
	if value, ok := s.now(a, actors.Lease); ok && value != "2" {
		t.Errorf("k is %q by lease", value)
	}
	if write.done {
		t.Error("the leader's machine was not late: the test shows nothing")
	}
}

// machine is the mailbox of the first group's state machine.
func (n *node) machine() *mailbox {
	for i, m := range n.boxes {
		if m == n.servers[0] {
			return n.boxes[i+1]
		}
	}
	return nil
}

// looking is a caller who may make its read by itself.
type looking struct {
	*caller
	n   *node
	key string
	may func(readIndex uint64)
}

func (l *looking) MayLook(readIndex uint64) { l.may(readIndex) }

// look asks again, if it cannot look now.
func (l *looking) look(readIndex uint64) {
	if a, ok := l.n.doors[0].LookNow(readIndex, []byte(l.key)); ok {
		l.Answer(a)
	} else {
		l.n.doors[0].Query([]byte(l.key), l.caller)
	}
}

func (s *scenario) byItself(n *node, key string) *looking {
	l := &looking{caller: &caller{s: s, what: "get " + key + " at " + n.id + " by itself"}, n: n, key: key}
	l.may = l.look
	n.doors[0].Query([]byte(key), l)
	return l
}

// looked is a cluster whose callers look by themselves.
func looked(t *testing.T) (s *scenario, leader, follower *node) {
	s = newCluster(t, 3)
	s.put("put k 1")
	s.settled()
	return s, s.nodes[0], s.nodes[1]
}

func TestCallersLookWithoutTheMachine(t *testing.T) {
	s, a, b := looked(t)
	a.machine().starve(electionTimeout)
	b.machine().starve(electionTimeout)
	for _, n := range []*node{a, b} {
		begun := s.w.now
		read := s.byItself(n, "k")
		if got := s.done(read.caller); got != "1" || s.w.now-begun >= electionTimeout/2 {
			t.Errorf("k at %s is %q after %v", n.id, got, s.w.now-begun)
		}
	}
}

// The leader's machine is late to apply what others have read.
func TestACallerWhoLooksSeesWhatOthersSaw(t *testing.T) {
	s, a, b := looked(t)
	a.machine().starve(electionTimeout / 2)
	write := s.propose(a, "put k 2")
	s.until("the follower has applied it", func() bool { value, _ := s.now(b, actors.Stale); return value == "2" })
	read := s.byItself(a, "k")
	if write.done {
		t.Error("the leader's machine was not late: the test shows nothing")
	}
	if got := s.done(read.caller); got != "2" {
		t.Errorf("k is %q", got)
	}
}

// What keeps a caller from looking, after it was told that it may, makes it ask again.
func TestR10ACallerWhoMayLookFindsABrokenMachine(t *testing.T) {
	s, a, _ := looked(t)
	may := false
	read := &looking{caller: &caller{s: s, what: "get k"}, n: a, key: "k", may: func(uint64) { may = true }}
	a.doors[0].Query([]byte("k"), read)
	s.until("the caller may look", func() bool { return may })
	a.disk.panics = true
	a.doors[0].QueryStale([]byte("k"), &caller{s: s, what: "a query that panics"})
	s.until("the group failed", func() bool { return s.status(a).Role == actors.Failed })
	read.look(1)
	s.until("the caller is answered", read.answered)
	if !errors.Is(read.got.Err, actors.ErrGroupFailed) {
		t.Errorf("%q %v", read.got.Value, read.got.Err)
	}
}

// To tell many callers takes long: the machine does it, not the server. Those who cannot look have their answers from it.
func TestTheMachineTellsManyCallersThatTheyMayLook(t *testing.T) {
	s, a, _ := looked(t)
	a.machine().starve(electionTimeout)
	answers := make([]*caller, 300)
	told, soon := 0, s.w.now+electionTimeout/2
	for i := range answers {
		answers[i] = &caller{s: s, what: "one of many"}
		if i%3 == 0 {
			a.doors[0].Query([]byte("k"), answers[i])
			continue
		}
		one := &looking{caller: answers[i], n: a, key: "k"}
		one.may = func(readIndex uint64) {
			if told++; s.w.now < soon {
				t.Fatal("the server tells many")
			}
			one.look(readIndex)
		}
		a.doors[0].Query([]byte("k"), one)
	}
	for _, c := range answers {
		if got := s.done(c); got != "1" {
			t.Fatalf("k is %q", got)
		}
	}
	if told != 200 {
		t.Errorf("%d of 200 were told that they may look", told)
	}
}

// The lease ends before the target stands: that one may lead, and commit, long before the promises are over.
func TestALeaderThatHandsOverHasNoLease(t *testing.T) {
	s := leased(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.settled()
	asked := s.copies(func(p packet) bool { return is[*messages.TimeoutNow](p) })
	a.doors[0].HandOver(b.id, &caller{s: s, what: "to hand over"})
	asked.first("TimeoutNow")
	s.isolateFrom(a)
	s.writtenElsewhere(a)
	if value, ok := s.now(a, actors.Lease); ok {
		t.Errorf("k is %q by lease", value)
	}
	if !s.leads(a) {
		t.Error("the old leader knows that it leads no more: the test shows nothing")
	}
}

// isolateFrom lets a node hear nobody from now on.
func (s *scenario) isolateFrom(n *node) { s.drop(func(p packet) bool { return p.to == n }) }

// A new leader may have promises before it knows what was committed before it.
func TestANewLeaderHasNoLeaseBeforeItCommits(t *testing.T) {
	s := newCluster(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.put("put k 1")
	s.settled()
	untold := s.drop(func(p packet) bool { return p.to == b && appendEntries(p) && entriesOf(p) == 0 })
	s.put("put k 2")
	s.crash(a, true)
	untold.end()
	uncommitted := s.drop(func(p packet) bool { return p.from == b && entriesOf(p) > 0 })
	s.elect(b)
	read := s.byLease(b, "k")
	for end := s.w.now + 2*electionTimeout; s.w.now < end; s.pass(time.Millisecond) {
		if value, ok := s.now(b, actors.Lease); ok {
			s.fatal("k is %q by lease", value)
		}
	}
	uncommitted.end()
	if got := s.done(read); got != "2" {
		t.Errorf("k is %q", got)
	}
}

// Others than those who promised may elect a leader of the next configuration.
func TestAChangeOfMembersEndsTheLease(t *testing.T) {
	s := leased(t, 3)
	a := s.nodes[0]
	s.until("the first node has a lease", func() bool { _, ok := s.now(a, actors.Lease); return ok })
	s.isolateFrom(a)
	was := s.status(a).Configuration
	to := actors.Change{Voters: was.Voters[:2], Learners: was.Voters[2:]}
	a.doors[0].Reconfigure(to, &caller{s: s, what: "for other members"})
	s.until("the leader is in the joint phase", func() bool { return s.status(a).Configuration.Index > was.Index })
	if value, ok := s.now(a, actors.Lease); ok {
		t.Errorf("k is %q by lease", value)
	}
}
