package actors

import "fmt"

// snapshot is what the deltas among the invariants compare with: the state after the previous message.
type snapshot struct {
	term           uint64
	vote           string
	commit         uint64
	applied        uint64
	role           role
	matchIndex     []uint64
	lastOfLeader   uint64
	knownClusterID uint64
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
	s.must(s.log.tailFirst <= o.durable+1, "what is not durable is in memory")
	s.must(s.log.tailFirst+uint64(len(s.log.tail)) == s.log.last+1, "the tail ends at the last entry")
	s.must(s.log.lastTerm() <= s.currentTerm, "no entry is of a later term than currentTerm")
	claim := o.durable
	if p := o.writing; p != nil {
		s.must(p.claim <= s.log.last, "the batch with the journal claims no truncated entry")
		claim = max(claim, p.claim)
	}
	s.must(o.open == nil || o.open.first == 0 || o.open.first <= claim+1, "staged entries follow what is claimed")
	if l, ok := s.role.(*leader); ok {
		s.checkLeader(l)
	}
	s.remember()
}

func (s *server) checkLeader(l *leader) {
	self := s.members.self
	s.must(s.votedFor == s.id, "a leader voted for itself")
	s.must(s.before.role != s.role || s.log.last >= s.before.lastOfLeader, "a leader never deletes entries (Leader Append-Only)")
	s.must(l.matchIndex[self] <= s.outbox.durable, "a leader counts itself only with what is durable")
	s.must(l.sent <= s.log.last, "only what is in the log is sent")
	for i, match := range l.matchIndex {
		s.must(match <= s.log.last, "no follower matches beyond the leader's log")
		if s.before.role == s.role {
			s.must(match >= s.before.matchIndex[i], "matchIndex never falls within a leadership")
		}
	}
	if s.commitIndex >= l.firstOfTerm {
		s.must(quorumIndex(l.matchIndex) >= s.commitIndex, "what a leader commits is durable on a majority")
	}
}

func (s *server) remember() {
	b := &s.before
	*b = snapshot{
		term: s.currentTerm, vote: s.votedFor, commit: s.commitIndex, applied: s.lastApplied, role: s.role,
		matchIndex: b.matchIndex[:0], lastOfLeader: s.log.last, knownClusterID: s.clusterID,
	}
	if l, ok := s.role.(*leader); ok {
		b.matchIndex = append(b.matchIndex, l.matchIndex...)
	}
}

func (s *server) must(holds bool, sentence string) {
	if !holds {
		panic(fmt.Sprintf("group %s, node %s, term %d: it does not hold that %s", s.group, s.id, s.currentTerm, sentence))
	}
}
