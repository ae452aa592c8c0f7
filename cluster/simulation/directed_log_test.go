package simulation

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for the groups L and C of CATALOGUE.md.

func TestL01StaleAppendEntriesTruncatesNothing(t *testing.T) {
	for _, written := range []bool{false, true} {
		s := newScenario(t, 3)
		a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
		sent := s.copies(func(p packet) bool { return p.to == b && entriesOf(p) > 0 })
		s.elect(a)
		s.settled()
		s.isolate(c)
		s.put("put k 1") // 2@1, committed on a and b
		sent.end()
		for _, p := range sent.kept {
			s.deliver(p)
		}
		s.pass(10 * time.Microsecond)
		s.crash(b, written)
		s.crash(a, written)
		if got := s.disk(b); got != "1@1 2@1" {
			t.Fatalf("b has %s", got)
		}
		s.heal()
		s.restart(b)
		s.until("b leads", func() bool { return s.leads(b) })
		if got := s.done(s.query(b, "k")); got != "1" {
			t.Errorf("k = %q", got)
		}
	}
}

func TestL05AHundredConflictingEntriesTakeARoundForEachTerm(t *testing.T) {
	for _, earlier := range []bool{true, false} { // the leader's conflicting entries are of an earlier term than the follower's
		s := newCluster(t, 3)
		a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
		local := s.drop(func(p packet) bool { return entriesOf(p) > 0 })
		var next *node // who leads next: nobody else asks for votes
		votes := s.drop(func(p packet) bool { return requestVote(p) && p.from != next })
		first, second := a, c
		if earlier {
			first, second = c, a
		}
		for _, n := range []*node{first, second} {
			next = n
			s.elect(n)
			s.isolate(n)
			for i := range 100 {
				s.propose(n, fmt.Sprintf("put k %d", i))
			}
			s.until("it has them", func() bool { return s.status(n).DurableIndex > 100 })
			s.until("it steps down", func() bool { return !s.leads(n) })
			s.heal()
		}
		next = c
		s.isolate(a)
		s.elect(c) // it begins to probe at the end of its log
		votes.end()
		refusals := s.copies(func(p packet) bool {
			m, ok := p.original.(*messages.AppendEntriesReply)
			return ok && p.from == a && !m.Success && m.Header.Term == s.status(c).Term
		})
		s.heal()
		local.end()
		s.settled()
		if s.log(a) != s.log(c) || s.log(b) != s.log(c) {
			t.Error("the logs differ")
		}
		if n := len(refusals.kept); n == 0 || n > 4+2 {
			t.Errorf("%d refusals for 4 terms", n)
		}
	}
}

func TestL07MessagesNearTheSizeLimitHoldContiguousEntries(t *testing.T) {
	const limit = 120
	for _, tail := range []int{1, 1 << 20} { // from the store, and from memory
		s := newScenarioOf(t, Options{Nodes: 3, Limits: actors.Limits{MessageBytes: limit, TailBytes: tail}})
		a, c := s.nodes[0], s.nodes[2]
		s.elect(a)
		s.settled()
		sent := s.copies(func(p packet) bool { return p.to == c && entriesOf(p) > 0 })
		s.isolate(c)
		for i, size := range []int{10, 90, 5, 200, 1, 1, 1, limit - 10, limit, limit + 1, 3, 60, 60, 2} {
			s.propose(a, fmt.Sprintf("put k%d %s", i, strings.Repeat("x", size)))
		}
		s.until("they are committed", func() bool { return s.committed() == 15 })
		s.heal()
		s.settled()
		most := 0
		for _, p := range sent.kept {
			m, bytes := p.original.(*messages.AppendEntries), 0
			for i, e := range m.Entries {
				bytes += len(e)
				if identify(e) != a.seen[0].log.at(m.PrevLogIndex+uint64(i)+1) {
					t.Errorf("the message after %d has another entry %d than the leader", m.PrevLogIndex, int(m.PrevLogIndex)+i+1)
				}
			}
			if bytes > limit && len(m.Entries) > 1 {
				t.Errorf("%d entries of %d bytes in a message", len(m.Entries), bytes)
			}
			most = max(most, len(m.Entries))
		}
		if most < 2 || s.log(c) != s.log(a) {
			t.Errorf("at most %d entries in a message; c has %s", most, s.log(c))
		}
	}
}

func TestC01AnEntryOfAnOldTermIsNotCommittedByCounting(t *testing.T) { // figure 8
	s := newScenarioOf(t, Options{Nodes: 5, Limits: actors.Limits{MessageBytes: 1}}) // each entry in a message of its own
	a, b, c, d, e := s.nodes[0], s.nodes[1], s.nodes[2], s.nodes[3], s.nodes[4]
	s.elect(a)
	s.settled()

	// (a) a puts 2@1 on itself and b.
	s.partition([]*node{a, b}, []*node{c, d, e})
	x := s.propose(a, "put k x")
	s.until("a and b have 2@1", func() bool { return s.disk(a) == "1@1 2@1" && s.disk(b) == "1@1 2@1" })

	// (b) e wins with c and d; its own entry at 2 is on its disk only.
	local := s.drop(func(p packet) bool { return p.from == e && entriesOf(p) > 0 })
	s.elect(e)
	s.until("e has its own entry", func() bool { return strings.HasPrefix(s.disk(e), "1@1 2@") })
	s.crash(e, true)
	local.end()

	// (c) a wins, and replicates 2@1 to c; its own entry is on its disk only.
	s.heal()
	local = s.drop(func(p packet) bool { return p.from == a && entriesOf(p) > 0 && (p.to == d || ofLeadersTerm(p)) })
	s.elect(a)
	s.until("2@1 is on a majority", func() bool { return s.disk(c) == "1@1 2@1" && strings.HasPrefix(s.disk(a), "1@1 2@1 3@") })
	s.during(time.Second, "2@1 is not committed", func() bool { return s.committed() == 1 })
	if x.done && x.got.Err == nil {
		t.Error("2@1 was acknowledged")
	}

	// (d) a dies; e wins with b, c and d, and overwrites 2@1.
	s.crash(a, true)
	local.end()
	s.restart(e)
	s.elect(e)
	s.settled()
	s.restart(a)
	s.settled()
	if s.log(a) != s.log(e) || strings.HasPrefix(s.log(a), "1@1 2@1") {
		t.Errorf("a has %s, e has %s", s.log(a), s.log(e))
	}
}

// ofLeadersTerm says whether an AppendEntries has an entry of its own term.
func ofLeadersTerm(p packet) bool {
	m := p.original.(*messages.AppendEntries)
	return identify(m.Entries[len(m.Entries)-1]).term == m.Header.Term
}

func TestC04TheLeaderDoesNotCountItselfBeforeItsOwnSync(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.cut(a, c)
	s.stopDisk(a)
	x := s.propose(a, "put k x")
	s.until("b has it", func() bool { return s.disk(b) == "1@1 2@1" })
	s.during(time.Second, "it is not acknowledged with one disk behind it", func() bool { return !x.done && s.committed() == 1 })
	s.crash(a, false)
	s.isolate(b)
	s.restart(a)
	s.heal()
	s.isolate(b)
	s.until("a or c leads", func() bool { return s.leads(a) || s.leads(c) })
	s.put("put k y")
	s.heal()
	s.settled()
	if got := s.done(s.query(s.leader(), "k")); got != "y" {
		t.Errorf("k = %q", got)
	}
}

func TestC05EveryIndexIsAppliedOnceInOrderHoweverDeliveryIsPaginated(t *testing.T) {
	for _, limits := range []actors.Limits{
		{ApplyBytes: 1}, {ApplyBytes: 40},
		{ApplyEntries: 1}, {ApplyEntries: 2},
		{TailBytes: 1, ApplyBytes: 1}, {TailBytes: 1, ApplyBytes: 40},
	} {
		s := newScenarioOf(t, Options{Nodes: 3, Limits: limits})
		c := s.nodes[2]
		s.elect(s.nodes[0])
		for i := range 12 {
			s.propose(s.nodes[0], fmt.Sprintf("put k %s%d", strings.Repeat("x", i*5%23), i))
		}
		// c restarts wherever its delivery stands. The witness around its machine checks what the machine is given.
		var hint uint64
		for applied := uint64(0); applied < 13; applied++ {
			s.until("c applies more", func() bool { return s.status(c).AppliedIndex >= applied })
			s.crash(c, applied%2 == 0)
			if now := c.disk.groups[0].hard.Commit; now < hint {
				t.Errorf("%+v: the stored commit index falls from %d to %d", limits, hint, now)
			} else {
				hint = now
			}
			s.restart(c)
		}
		s.settled()
		s.elect(c)
		if got := s.done(s.query(c, "k")); got != "xxxxxxxxx11" {
			t.Errorf("%+v: k = %q", limits, got)
		}
	}
}

func TestC09ASingleVoterCommitsAfterItsOwnSync(t *testing.T) {
	s := newScenario(t, 1)
	a := s.nodes[0]
	acknowledged := 0
	for crash := range 60 {
		s.until("it leads without any reply", func() bool { return s.status(a).Ready })
		first := s.propose(a, fmt.Sprintf("put k %d", 2*crash+1))
		for range crash % 20 { // so many steps on: somewhere between the command and its answer
			s.w.step()
		}
		second := s.propose(a, fmt.Sprintf("put k %d", 2*crash+2))
		for range crash / 20 {
			s.w.step()
		}
		for i, c := range []*caller{first, second} {
			if c.done && c.got.Err == nil {
				acknowledged = 2*crash + 1 + i
			}
		}
		s.crash(a, crash%2 == 0)
		s.restart(a)
		s.until("it leads again", func() bool { return s.leads(a) })
		got := s.done(s.query(a, "k"))
		if n, _ := strconv.Atoi(got); n < acknowledged {
			t.Fatalf("crash %d: %d was acknowledged, k = %q", crash, acknowledged, got)
		}
	}
	if acknowledged == 0 {
		t.Error("nothing was acknowledged")
	}
}
