package actors

import "fmt"

// before is what the deltas among the invariants compare with: the state after the previous message.
type before struct {
	term           uint64
	vote           string
	commit         uint64
	applied        uint64
	role           role
	lastOfLeader   uint64
	knownClusterID uint64
	included       uint64
}

// checkInvariants panics with the sentence that does not hold, which stops the group on this node: better none than a wrong one. It
// runs after every message, everywhere, and touches nothing that grows.
func (s *server) checkInvariants() {
	b, o := &s.before, &s.outbox
	s.must(s.currentTerm >= b.term, "currentTerm never falls")
	s.must(s.currentTerm != b.term || b.vote == "" || s.votedFor == b.vote, "a vote is never changed within a term")
	s.must(s.commitIndex >= b.commit, "commitIndex never falls")
	s.must(s.lastApplied >= b.applied, "lastApplied never falls")
	s.must(b.knownClusterID == 0 || s.clusterID == b.knownClusterID, "the cluster id never changes")
	s.must(s.commitIndex <= s.log.last, "nothing is committed that is not in the log")
	s.must(s.lastApplied <= s.commitIndex, "only what is committed is applied")
	s.must(s.lastApplied <= o.durable, "only what is durable is applied")
	s.must(s.handed == nil || s.handed.last <= s.applicable(), "only what is committed and durable is handed to the machine")
	s.must(o.durable <= s.log.last, "nothing is durable that is not in the log")
	s.must(s.log.tailFirst <= max(o.durable, s.log.compacted)+1, "what is not durable is in memory, or in a snapshot")
	s.must(s.log.tailFirst+uint64(len(s.log.tail)) == s.log.last+1, "the tail ends at the last entry")
	s.must(s.log.lastTerm() <= s.currentTerm, "no entry is of a later term than currentTerm")
	claim := o.durable
	if p := o.writing; p != nil {
		s.must(p.claim <= s.log.last, "the batch with the journal claims no truncated entry")
		claim = max(claim, p.claim)
	}
	claim = max(claim, s.log.compacted)
	s.must(o.open == nil || o.open.first == 0 || o.open.first <= claim+1, "staged entries follow what is claimed")
	included := s.snapshot.GetLastIncludedIndex()
	s.must(s.log.compacted <= included, "only what a snapshot has is cut")
	s.must(included <= s.commitIndex, "a snapshot has only what is committed")
	s.must(included >= b.included, "an older snapshot never takes the place of a newer one")
	s.must(s.charter().index <= s.log.last, "what is in force is in the log")
	s.role.check(s)
	s.remember()
}

func (f *follower) check(s *server) {
	s.must(!s.alarm.deadline.IsZero() || s.quiet.sleeps(), "a follower has an election timer, or the pulse watches over its leader")
}

func (l *leader) check(s *server) {
	s.must(s.votedFor == s.id, "a leader voted for itself")
	s.must(s.before.role != s.role || s.log.last >= s.before.lastOfLeader, "a leader never deletes entries (Leader Append-Only)")
	s.must(l.all.match(s.id) <= s.outbox.durable, "a leader counts itself only with what is durable")
	s.must(l.sent <= s.log.last, "only what is in the log is sent")
	for _, p := range l.all {
		s.must(p.match <= s.log.last, "no follower matches beyond the leader's log")
		s.must(p.match >= p.matched, "matchIndex never falls within a leadership")
		p.matched = p.match
	}
	if s.commitIndex > s.before.commit && s.before.role == s.role {
		s.must(s.configuration().Quorum().Committed(l.all.match) >= s.commitIndex, "what a leader commits is durable on a majority")
	}
}

func (s *server) remember() {
	s.before = before{
		term: s.currentTerm, vote: s.votedFor, commit: s.commitIndex, applied: s.lastApplied, role: s.role,
		lastOfLeader: s.log.last, knownClusterID: s.clusterID, included: s.snapshot.GetLastIncludedIndex(),
	}
}

func (s *server) must(holds bool, sentence string) {
	if !holds {
		panic(fmt.Sprintf("group %s, node %s, term %d: it does not hold that %s", s.group, s.id, s.currentTerm, sentence))
	}
}
