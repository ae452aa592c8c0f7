package simulation

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Directed tests for the group E of CATALOGUE.md.

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

// The leader's server is stuck, and its replicators run late. The permission that they find then has expired.
func TestAPermissionThatIsFoundLateIsOver(t *testing.T) {
	s := newCluster(t, 3)
	a := s.nodes[0]
	for _, m := range a.boxes[1:] {
		if m != a.servers[0] {
			m.starve(4 * electionTimeout)
		}
	}
	s.pass(electionTimeout / 2) // the server gives permissions, and nobody takes them
	a.servers[0].starve(20 * electionTimeout)
	s.pass(2 * electionTimeout)
	beats := s.copies(func(p packet) bool { return p.from == a && appendEntries(p) })
	s.pass(5 * electionTimeout)
	if len(beats.kept) > 0 {
		t.Fatalf("%d heartbeats of a leader whose server is stuck", len(beats.kept))
	}
}
