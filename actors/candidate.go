package actors

import "github.com/troupe-raft/troupe/messages"

// candidate asks first whether it could win an election in the next term (pre-vote, thesis 9.6), and then for votes.
type candidate struct {
	// campaign: currentTerm was raised, and votes are asked for. Otherwise it asks for pre-votes.
	campaign bool
	// transfer: the leader of the term before asked for it.
	transfer bool
	round    uint64
	votes    map[string]bool // false: denied
	active
}

func (c *candidate) kind() Role { return Candidate }

func (c *candidate) enter(s *server) {
	s.resetElectionTimer()
	s.round++
	c.round, c.votes = s.round, map[string]bool{}
	if s.stalled() {
		return // it would not lead either
	}
	if c.campaign {
		c.stand(s)
		return
	}
	c.count(s, s.id, true)
	c.ask(s)
}

// stand obeys: on conversion to candidate, start election: increment currentTerm, vote for self, reset election timer, send
// RequestVote RPCs to all other servers (section 5.2). They leave, and the own vote counts, when term and vote are durable.
func (c *candidate) stand(s *server) {
	s.setTerm(s.currentTerm + 1)
	s.vote(s.id)
	s.outbox.hold(func() {
		if s.role == c {
			c.count(s, s.id, true)
			c.ask(s)
		}
	})
}

func (c *candidate) ask(s *server) {
	if s.role != c {
		return
	}
	if !c.campaign {
		s.inquire(c.round)
		return
	}
	for _, p := range s.peers.all {
		if s.configuration().votes(p.ID) {
			m := s.candidacy(p.ID, false, c.round)
			m.Transfer = c.transfer
			s.inquireOf(p, m)
		}
	}
}

// count: if votes received from majority of servers, become leader (section 5.2); after a majority of pre-votes, stand.
func (c *candidate) count(s *server, voter string, granted bool) {
	c.votes[voter] = c.votes[voter] || granted
	switch electorate := s.electorate(); {
	case electorate.Lost(c.votes):
		s.c.Logger.Debug("the election is lost", "term", s.currentTerm, "campaign", c.campaign)
	case !electorate.Won(c.votes):
	case s.cannotFound() != "":
		s.c.Logger.Warn("the group cannot begin with a backup: a member runs an older troupe; start a newer one there",
			"member", s.cannotFound())
	case c.campaign:
		s.become(&leader{})
	default:
		s.become(&candidate{campaign: true})
	}
}

func (c *candidate) voteReply(s *server, m *messages.RequestVoteReply) {
	current := m.Round == c.round && m.PreVote == !c.campaign && (m.PreVote || m.Header.Term == s.currentTerm)
	if current && (m.PreVote || s.counts(m.Header.From)) {
		c.count(s, m.Header.From, m.Granted)
	}
}

// appendEntries: if AppendEntries RPC received from new leader, convert to follower (section 5.2).
func (c *candidate) appendEntries(s *server, m *messages.AppendEntries) {
	if s.refuseStale(m) {
		return
	}
	s.become(&follower{})
	s.role.appendEntries(s, m)
}

// installSnapshot: it comes from a leader, as AppendEntries does.
func (c *candidate) installSnapshot(s *server, m *messages.InstallSnapshot) {
	if s.refuseStaleSnapshot(m) {
		return
	}
	s.become(&follower{})
	s.role.installSnapshot(s, m)
}

// timeout: if election timeout elapses, start new election (section 5.2), with a pre-vote first.
func (c *candidate) timeout(s *server) {
	s.tellNoLeader()
	s.campaign()
}

// campaign is a server's that may lead: a learner, or who left, waits for a leader.
func (s *server) campaign() {
	if s.mayLead() {
		s.become(&candidate{})
		return
	}
	s.become(&follower{})
	s.resetElectionTimer()
	s.inquire(0)
}

// describe: no leader is known.
func (c *candidate) describe(s *server, status *Status) { status.Unready = s.noLeader() }
