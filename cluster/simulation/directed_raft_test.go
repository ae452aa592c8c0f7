package simulation

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// The tests here replay bugs of other implementations: groups E, L, C and R of the catalogue. testdata/catalogue_elcr.txt says where
// each of them is covered, or why it cannot occur.

const electionTimeout = 500 * time.Millisecond

func TestE07PreVoteWithStaleTerms(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.isolate(c)
	s.elect(b)
	s.put("put k 0")
	s.elect(a)
	s.put("put k 1")
	s.pass(3 * time.Second) // c asks in vain, in the term that it knows
	s.heal()
	s.isolate(a)
	s.within(5*2*electionTimeout, "b or c leads", func() bool { return s.leads(b) || s.leads(c) })
	s.put("put k 2")
}

func TestE07TheRefusalOfAPreVoteTeachesTheTerm(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.cut(a, b)
	s.put("put k 1") // on a and c
	s.pass(electionTimeout)
	s.forge(a, b, &messages.RequestVote{Header: s.header(a, b, 5), LastLogIndex: 2, LastLogTerm: 1})
	s.until("b is in a later term, and its log is shorter", func() bool { return s.status(b).Term == 5 && s.log(b) == "1@1" })
	s.crash(a, true)
	s.within(5*2*electionTimeout, "c leads, who alone can", func() bool { return s.leads(c) })
}

func TestE10RefusedVoteRequestsDoNotKeepTheOthersFromCampaigning(t *testing.T) {
	s := newCluster(t, 5)
	leader, stale := s.nodes[0], s.nodes[3]
	s.isolate(stale)
	stale.drift = 4 // its timeouts are a quarter of the others'
	s.put("put k 1")
	s.pass(2 * electionTimeout)
	asked := s.copies(func(p packet) bool { return p.from == stale && requestVote(p) })
	s.crash(leader, true)
	s.crash(s.nodes[4], true)
	s.heal()
	s.within(2*2*electionTimeout, "one whose log is up to date campaigns", func() bool {
		return s.status(s.nodes[1]).Role == actors.Candidate || s.status(s.nodes[2]).Role == actors.Candidate
	})
	s.put("put k 2")
	if len(asked.kept) == 0 {
		t.Fatal("the stale node never asked")
	}
}

// commitsOn holds when some leader commits a command within every window of 10 election timeouts.
func (s *scenario) commitsOn(windows int) {
	s.t.Helper()
	for range windows {
		committed := s.committed()
		for range 50 {
			for _, n := range s.nodes {
				if s.leads(n) {
					s.propose(n, "put k 1")
				}
			}
			s.pass(electionTimeout / 5)
		}
		if s.committed() == committed {
			s.fatal("nothing was committed within 10 election timeouts")
		}
	}
}

func TestE11ALeaderThatCannotReachOneFollowerLeadsOn(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	s.cut(a, s.nodes[1])
	term := s.status(a).Term
	s.pass(50 * electionTimeout) // idle, so that every log is up to date
	s.commitsOn(5)
	if now := s.status(s.leader()).Term; now > term+2 {
		t.Errorf("term %d became %d", term, now)
	}
}

func TestE11TheOneThatReachesAQuorumLeads(t *testing.T) {
	s := newCluster(t, 5)
	a, e := s.nodes[0], s.nodes[4]
	for i, n := range s.nodes[:4] {
		for _, other := range s.nodes[:i] {
			s.cut(n, other)
		}
	}
	s.until("a steps down and e leads", func() bool { return !s.leads(a) && s.leads(e) })
	s.commitsOn(3)
}

func TestE11InAChainSomeNodeThatReachesAQuorumLeads(t *testing.T) {
	s := newCluster(t, 5)
	for i, n := range s.nodes {
		for j := range i - 1 {
			s.cut(n, s.nodes[j])
		}
	}
	s.until("one in the middle leads", func() bool { return s.leads(s.nodes[1]) || s.leads(s.nodes[2]) || s.leads(s.nodes[3]) })
	s.commitsOn(3)
}

func TestE15ANodeIsNoCandidateBeforeTheLogItClaimsIsDurable(t *testing.T) {
	s := newCluster(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	s.cut(a, c)
	s.stopDisk(b)
	s.propose(a, "put k 1")
	s.until("b has the entry in memory", func() bool { return s.log(b) == "1@1 2@1" })
	s.isolate(a)
	s.until("c thinks that b could win", func() bool { return s.status(b).Term > 1 })
	votes := s.copies(func(p packet) bool {
		m, ok := p.original.(*messages.RequestVote)
		return ok && !m.PreVote && p.from == b && m.LastLogIndex == 2
	})
	s.during(5*electionTimeout, "b asks for no votes", func() bool { return len(votes.kept) == 0 && s.disk(b) == "1@1" })
	s.startDisk(b)
	s.until("b asks for votes", func() bool { return len(votes.kept) > 0 })
	if got := s.disk(b); got != "1@1 2@1" {
		t.Errorf("b claims 2@1, and has %s", got)
	}
	s.until("b leads", func() bool { return s.leads(b) })
	s.crash(b, false)
	s.restart(b)
	s.heal()
	s.settled()
	if got := s.done(s.query(s.leader(), "k")); got != "1" {
		t.Errorf("k = %q", got)
	}
}

// sameSeeds draws another data directory for each node, and the same seed for all servers.
type sameSeeds struct {
	rand.Source
	draws int
}

func (r *sameSeeds) Uint64() uint64 {
	r.draws++
	if r.draws%2 == 0 {
		return 42
	}
	return r.Source.Uint64()
}

func TestE18NodesOfTheSameSeedDrawDifferentTimeouts(t *testing.T) {
	s := newCluster(t, 5)
	for _, n := range s.nodes {
		s.crash(n, true)
	}
	rng := s.w.rng
	s.w.rng = rand.New(&sameSeeds{Source: rng})
	for _, n := range s.nodes {
		s.restart(n)
	}
	s.w.rng = rng
	asked := map[*node]time.Duration{}
	lost := s.drop(func(p packet) bool {
		if _, before := asked[p.from]; !before {
			asked[p.from] = s.w.now
		}
		return true
	})
	s.until("all ask for votes", func() bool { return len(asked) == 5 })
	times := slices.Sorted(maps.Values(asked))
	if times[4]-times[0] < electionTimeout/10 {
		t.Errorf("their timeouts passed at %v", times)
	}
	lost.end()
	s.within(10*electionTimeout, "a leader", func() bool { return s.leader() != nil })
	s.crash(s.leader(), true)
	s.within(10*electionTimeout, "another leader", func() bool { return s.leader() != nil })
}

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
				if identify(e) != a.seen[0].entries[int(m.PrevLogIndex)+i] {
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
		{ApplyBytes: 1}, {ApplyBytes: 40}, {ApplyEntries: 1}, {ApplyEntries: 2}, {TailBytes: 1, ApplyBytes: 1}, {TailBytes: 1, ApplyBytes: 40},
	} {
		s := newScenarioOf(t, Options{Nodes: 3, Limits: limits})
		c := s.nodes[2]
		s.elect(s.nodes[0])
		for i := range 12 {
			s.propose(s.nodes[0], fmt.Sprintf("put k %s%d", strings.Repeat("x", i*5%23), i))
		}
		// c restarts wherever its delivery stands; what its machine is given is checked by the witness around it.
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
	s := newCluster(t, 5)
	a := s.nodes[0]
	s.put("put k 1")
	s.partition(s.nodes[:2], s.nodes[2:])
	q := s.query(a, "k")
	if got := s.answer(q); !errors.Is(got.Err, actors.ErrNotLeader) {
		t.Errorf("%q %v", got.Value, got.Err)
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
		if got := s.answer(q); !errors.Is(got.Err, actors.ErrNotLeader) {
			t.Errorf("%q %v", got.Value, got.Err)
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

// Every id of these groups is covered, or cannot occur.
func TestCatalogueELCR(t *testing.T) {
	list, err := os.ReadFile("testdata/catalogue_elcr.txt")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile("directed_raft_test.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !regexp.MustCompile(`^[ELCR]-\d\d$`).MatchString(id) || seen[id] {
			t.Errorf("not an id, or twice: %q", line)
		}
		seen[id] = true
		where, what, _ := strings.Cut(rest, ": ")
		if what == "" {
			t.Errorf("%s has no sentence", id)
		}
		if where == "cannot occur" {
			continue
		}
		for _, place := range strings.Split(where, ", ") {
			file, function, inFile := strings.Cut(place, " ")
			switch content, err := os.ReadFile("../../" + file); {
			case strings.HasPrefix(place, "Test"):
				if !strings.Contains(string(here), "func "+place+"(") {
					t.Errorf("%s: there is no %s", id, place)
				}
			case err != nil:
				t.Errorf("%s: %v", id, err)
			case inFile && !strings.Contains(string(content), "func "+function+"("):
				t.Errorf("%s: there is no %s in %s", id, function, file)
			case !inFile && !strings.Contains(string(content), id):
				t.Errorf("%s is not mentioned in %s", id, file)
			}
		}
	}
	if len(seen) != 41 {
		t.Errorf("%d ids", len(seen))
	}
}
