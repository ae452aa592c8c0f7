package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// A server that left its group may not have the entry that says so, and nobody sends it any more. It goes on asking, without a vote, too,
// and is told by whomever it asks. Only who belonged to the group can have left: a new node gets a log that begins before it came.

// has says whether the configuration has a member with that data directory.
func (c *Configuration) has(id string, storeID uint64) bool {
	m, in := c.Member(id)
	return in && (m.StoreID == storeID || m.StoreID == 0)
}

// belongs notes for good, as a pin of its own, that this server was in the group: that is committed.
func (s *state) belongs() {
	c := s.charters.at(s.commitIndex).configuration
	if c.Index > 0 && c.has(s.id, s.storeID) {
		s.belonged = true
		s.outbox.pin(s.id, s.storeID)
	}
}

// removed says whether this server left the group: that is committed, or another member said so.
func (s *server) removed() bool {
	c := s.configuration()
	left := c.Index < s.toldLeft || c.Index <= max(s.commitIndex, s.toldLeft) && !c.has(s.id, s.storeID)
	return left && s.belonged
}

// left is the configuration in force, if it is committed, and the candidate is not in it, nor knows of a later one. Otherwise it is 0. The
// candidate may have come back by the time that it hears that.
func (s *state) left(m *messages.RequestVote) uint64 {
	c := s.configuration()
	if c.Index <= s.commitIndex && m.ConfigurationIndex <= c.Index && !c.has(m.Header.From, m.Header.StoreId) {
		return c.Index
	}
	return 0
}

// inquire is what a server does that hears no leader: it asks for pre-votes. It asks who has no vote, too, and who may be a member, as it
// was told. Its configuration may be old, and one of them may lead: who leads hears where this server is, and who knows tells it that it
// left.
func (s *server) inquire(round uint64) {
	for _, p := range s.peers.all {
		s.inquireOf(p, s.candidacy(p.ID, true, round))
	}
	for _, hint := range s.peers.hints {
		if _, in := s.configuration().Member(hint.ID); !in {
			s.ask(actor.NewPID(hint.Address, actorName(s.group)), s.candidacy(hint.ID, true, round))
		}
	}
}
