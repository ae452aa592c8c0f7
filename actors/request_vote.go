package actors

import (
	"bytes"

	"github.com/troupe-raft/troupe/messages"
)

// requestVote is the RequestVote RPC's receiver (Figure 2). The caller has adopted a higher term already.
func (s *state) requestVote(m *messages.RequestVote) *messages.RequestVoteReply {
	reply := &messages.RequestVoteReply{Header: s.header(m.Header.From), Round: m.Round, Removed: s.left(m)}
	// 1. Reply false if term < currentTerm (section 5.1).
	if m.Header.Term < s.currentTerm {
		return reply
	}
	// 2. If votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log, grant vote
	// (sections 5.2, 5.4).
	if (s.votedFor == "" || s.votedFor == m.Header.From) && s.upToDate(m) {
		if s.votedFor == "" {
			s.vote(m.Header.From)
		}
		reply.Granted = true
	}
	return reply
}

// preVote says whether this server would grant its vote in the sender's next term (thesis 9.6). It changes nothing.
func (s *state) preVote(m *messages.RequestVote) *messages.RequestVoteReply {
	reply := &messages.RequestVoteReply{Header: s.header(m.Header.From), PreVote: true, Round: m.Round, Removed: s.left(m)}
	reply.Granted = m.Header.Term+1 > s.currentTerm && s.upToDate(m)
	return reply
}

// upToDate compares the candidate's log with this server's: the later last term wins, then the longer log (section 5.4.1).
func (s *state) upToDate(m *messages.RequestVote) bool {
	if m.LastLogIndex == 0 && s.snapshot != nil && !bytes.Equal(m.Origin, s.snapshot.Digest) {
		return false // the group begins with this server's snapshot, and the candidate does not have it
	}
	if m.LastLogTerm != s.log.lastTerm() {
		return m.LastLogTerm > s.log.lastTerm()
	}
	return m.LastLogIndex >= s.log.last
}

// mayLead says whether this server stands. It does without a vote, and does not count itself, while it is not committed that it lost its
// vote: others may need what only its log has (thesis 4.2.2).
func (s *state) mayLead() bool {
	c := s.configuration()
	return s.votes(c) || c.Index > s.commitIndex && s.votes(s.charters.at(c.Index-1).configuration)
}

// candidacy is the request for votes in currentTerm, or, as a pre-vote, in the next.
func (s *state) candidacy(to string, preVote bool, round uint64) *messages.RequestVote {
	return &messages.RequestVote{
		Header: s.header(to), PreVote: preVote, Round: round, LastLogIndex: s.log.last, LastLogTerm: s.log.lastTerm(),
		Origin: s.origin(), ConfigurationIndex: s.configuration().Index,
	}
}
