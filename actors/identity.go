package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// peer is another member, as this server knows it.
type peer struct {
	Member
	pid *actor.PID
	// store is the id of the peer's data directory, pinned when it was first heard; 0: never heard. What a node says from
	// another directory does not count: a wiped disk forgot what its node promised.
	store uint64
	// pinned: the pin is durable, and what the peer promises may be counted.
	pinned bool
	warned map[string]bool // what the log was told of the peer

	// foreign is the data directory that the peer answered from last, if that one does not count; otherwise 0.
	foreign uint64
	// disowns: the peer knows this server by another data directory than it has.
	disowns bool
	// heard is when the peer last was, while no leader is known.
	heard time.Time
}

// peers are in the order of the membership; this server's own place is unused.
type peers struct{ all []*peer }

func newPeers(c *Config, m membership, stores map[string]uint64) peers {
	var p peers
	for _, member := range m.voters {
		p.all = append(p.all, &peer{
			Member: member, pid: actor.NewPID(member.Address, actorName(c.Group)), store: stores[member.ID], pinned: stores[member.ID] != 0,
			warned: map[string]bool{},
		})
	}
	return p
}

func (p peers) of(id string) *peer {
	for _, peer := range p.all {
		if peer.ID == id {
			return peer
		}
	}
	return nil
}

// disowners names the peers that do not count what this server says.
func (p peers) disowners() string {
	var names []string
	for _, peer := range p.all {
		if peer.disowns {
			names = append(names, peer.ID)
		}
	}
	return enumerate(names)
}

// admits checks both ends of an RPC. What does not match is dropped: mail of another group or cluster, to another node, or from
// another data directory than the sender had.
func (s *server) admits(h *messages.Header) bool {
	if h == nil || h.Group != s.group || h.To != s.id || h.From == s.id || h.Term > maxIndex {
		return false
	}
	p := s.peers.of(h.From)
	if p == nil || h.StoreId == 0 {
		return false
	}
	switch {
	case h.ClusterId != 0 && s.clusterID != 0 && h.ClusterId != s.clusterID:
		s.warn(p, "a node of another cluster answers under a member's name: check its --initial-cluster and its data directory")
		return false
	case p.store == 0:
		s.pin(p, h.StoreId)
	case p.store != h.StoreId:
		p.foreign = h.StoreId
		s.warn(p, "a member answers from another data directory than before, and is ignored: it was wiped or copied, and needs its own directory back")
		return false
	}
	s.hear(p, h)
	return true
}

// hear takes note of what a header says besides who sent it: whether the peer counts this server, and that the group is founded.
func (s *server) hear(p *peer, h *messages.Header) {
	p.foreign = 0
	p.disowns = h.ToStoreId != 0 && h.ToStoreId != s.storeID
	if p.disowns {
		s.warn(p, "a member knows this node by another data directory, and does not count what it says: this one was wiped, replaced or copied, and the node needs its own back")
	}
	if h.ClusterId != 0 {
		s.foundedElsewhere = true
	}
	if !s.leaderless.since.IsZero() {
		p.heard = s.c.Clock.Now()
	}
}

// pin remembers the peer's data directory for good; it counts when that is durable.
func (s *state) pin(p *peer, store uint64) {
	p.store, p.pinned = store, false
	s.outbox.pin(p.ID, store)
	s.outbox.hold(func() { p.pinned = p.pinned || p.store == store })
}

func (s *server) warn(p *peer, message string) {
	if !p.warned[message] {
		p.warned[message] = true
		s.c.Logger.Warn(message, "member", p.ID, "address", p.Address)
	}
}

// counts says whether what the node promises may be counted.
func (s *server) counts(id string) bool { return s.peers.of(id).pinned }
