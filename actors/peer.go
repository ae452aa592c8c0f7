package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// peer is another member, as this server knows it.
type peer struct {
	Member
	// pid is where the peer was heard last, or where the configuration says that it is; hint is where else it may be, nil: nowhere.
	pid, hint *actor.PID
	// pinnedStore is the id of the peer's data directory, pinned when it was first heard; 0: never heard. What a node says from
	// another directory does not count: a wiped disk forgot what its node promised.
	pinnedStore uint64
	// pinned: the pin is durable, and what the peer promises may be counted.
	pinned bool
	// level is the newest feature level that the peer last said to know.
	level uint32
	// unlevelled counts messages in a row that had no level.
	unlevelled int
	warned     map[string]bool // what the log was told of the peer

	// foreign is the data directory that the peer answered from last, if that one does not count; otherwise 0.
	foreign uint64
	// disowns: the peer knows this server by another data directory than it has.
	disowns bool
	// disagrees: the peer was restored from another backup than this server, and the group is not founded.
	disagrees bool
	// elsewhere: the peer last answered as a node of another cluster.
	elsewhere bool
	// heard is when the peer last was, while no leader is known.
	heard time.Time
	// came is when a message of somebody else last did.
	came time.Time
}

// peers are all members but this server, in the order of ids.
type peers struct {
	group string
	hints []Member
	pins  map[string]uint64 // the durable ones, of former members too
	all   []*peer
	// others are in the cluster, as they say, and in no configuration that this server knows: they left, or came while it was away.
	others []*peer
}

// Others are remembered for a while, and so many of them.
const (
	mostOthers = 32
	otherFor   = time.Minute
)

func newPeers(c *Config, pins map[string]uint64) peers {
	p := peers{group: c.Group, hints: c.Hints, pins: map[string]uint64{}}
	maps.Copy(p.pins, pins)
	return p
}

// follow makes the members of a configuration the peers of the server self. A member that stays is known as before.
func (p *peers) follow(c *Configuration, self string) {
	var all []*peer
	for _, m := range c.members {
		if m.ID == self {
			continue
		}
		known := p.of(m.ID)
		if known == nil {
			known = p.introduce(m.ID)
		}
		p.place(known, m)
		all = append(all, known)
	}
	for _, peer := range p.all {
		if !slices.Contains(all, peer) {
			p.others = append(p.others, peer)
		}
	}
	p.others = slices.DeleteFunc(p.others, func(peer *peer) bool { return slices.Contains(all, peer) })
	p.others = p.others[max(0, len(p.others)-mostOthers):]
	p.all = all
}

// place takes up what a configuration says of a peer. As long as that names the same address and data directory, the peer is where it was
// heard.
func (p *peers) place(known *peer, m Member) {
	replaced := known.StoreID != 0 && known.StoreID != m.StoreID
	if known.pid == nil || known.Address != m.Address || replaced {
		known.pid = actor.NewPID(m.Address, actorName(p.group))
	}
	known.Member, known.hint = m, nil
	for _, hint := range p.hints {
		if hint.ID == m.ID && hint.Address != m.Address {
			known.hint = actor.NewPID(hint.Address, actorName(p.group))
		}
	}
}

// introduce makes a peer, which may have been known on the disk.
func (p *peers) introduce(id string) *peer {
	return &peer{pinnedStore: p.pins[id], pinned: p.pins[id] != 0, warned: map[string]bool{}}
}

// meet makes a peer of somebody else; nil: there is no room.
func (p *peers) meet(m Member, now time.Time) *peer {
	if len(p.others) >= mostOthers {
		silent := slices.IndexFunc(p.others, func(other *peer) bool { return now.Sub(other.came) > otherFor })
		if silent < 0 {
			return nil
		}
		p.others = slices.Delete(p.others, silent, silent+1)
	}
	other := p.introduce(m.ID)
	other.Member, other.pid = m, actor.NewPID(m.Address, actorName(p.group))
	p.others = append(p.others, other)
	return other
}

// isMember says whether the peer is in the configuration.
func (p *peers) isMember(peer *peer) bool { return slices.Contains(p.all, peer) }

// of finds a member, or somebody else; nil: nobody has the id.
func (p *peers) of(id string) *peer {
	is := func(peer *peer) bool { return peer.ID == id }
	if i := slices.IndexFunc(p.all, is); i >= 0 {
		return p.all[i]
	}
	if i := slices.IndexFunc(p.others, is); i >= 0 {
		return p.others[i]
	}
	return nil
}

// at is nil when no peer has the address.
func (p *peers) at(address string) *peer {
	for _, peer := range p.all {
		if peer.pid.Address == address {
			return peer
		}
	}
	return nil
}

// replaces says whether a peer that knows this server by another data directory knows the one before it: the configuration names this one,
// or none since the server left, or the server joined, and its log does not have that yet.
func (s *state) replaces() bool {
	m, in := s.configuration().Member(s.id)
	joins := len(s.founders.Voters) == 0 && !s.belonged
	return joins || !in || m.StoreID == s.storeID
}

// disowners names the peers that do not count what this server says.
func (s *server) disowners() string {
	if s.replaces() {
		return ""
	}
	var names []string
	for _, peer := range s.peers.all {
		if peer.disowns {
			names = append(names, peer.ID)
		}
	}
	return enumerate(names)
}

// intact says whether an RPC is as it was sent, and is meant for this server. The caller drops any other.
func (s *server) intact(m rpc) bool {
	h := m.GetHeader()
	if h.GetLevel() == 0 {
		s.hearOld(h)
		return false
	}
	return m.Intact() && s.admits(h, isOfMembers(m))
}

// isOfMembers says whether that counts only from members: replies, and what callers of a member want.
func isOfMembers(m rpc) bool {
	switch m.(type) {
	case *messages.RequestVoteReply, *messages.Forward, *messages.ForwardReply, *messages.ReadIndex, *messages.ReadIndexReply:
		return true
	}
	return false
}

// hearOld takes note of a message from before feature levels; its checksum is another one, too. One or two may have been damaged.
func (s *server) hearOld(h *messages.Header) {
	p := s.peers.of(h.GetFrom())
	if p == nil || h.GetGroup() != s.group {
		return
	}
	if p.unlevelled++; p.unlevelled > 2 {
		s.warn(p, "a member runs an old build of troupe, from before the first release, and is ignored: start a newer one there")
	}
}

// admits checks both ends of an RPC. What does not match is dropped: mail of another group or cluster, or to another node. What counts
// only from members counts from the data directories that they have in the configuration. The rest is judged by the cluster id: its sender
// may be in a configuration that this server does not have yet, with a directory that it came with anew.
func (s *server) admits(h *messages.Header, ofMember bool) bool {
	if h == nil || h.Group != s.group || h.To != s.id || h.From == s.id || h.Term > maxIndex {
		return false
	}
	p := s.peers.of(h.From)
	member := s.peers.isMember(p)
	if !member && !ofMember {
		p = s.other(p, h)
	}
	if p == nil || h.StoreId == 0 || ofMember && !member {
		return false
	}
	switch {
	case s.isElsewhere(h):
		p.elsewhere = true
		s.warn(p, "a node of another cluster answers under a member's name: check its --initial-cluster and its data directory")
		return false
	case !member:
	case p.pinnedStore == 0:
		s.pin(p, h.StoreId)
	case p.pinnedStore != h.StoreId:
		p.foreign = h.StoreId
		s.warn(p, "a member answers from another data directory than before, and does not count: "+
			"it was wiped or copied, and needs its own directory back")
		return !ofMember && s.clusterID != 0 && h.ClusterId == s.clusterID
	}
	s.find(p)
	s.hear(p, h)
	return true
}

// isElsewhere says whether a message is of another cluster.
func (s *server) isElsewhere(h *messages.Header) bool {
	return h.ClusterId != 0 && s.clusterID != 0 && h.ClusterId != s.clusterID
}

// tellElsewhere lets a candidate of another cluster know that this server is not in its own: it may have been left behind when that lost
// its quorum. It refuses the answer as this server refused the question, and says so in its status.
func (s *server) tellElsewhere(m *messages.RequestVote) {
	h := m.GetHeader()
	mine := h != nil && h.Group == s.group && h.To == s.id && h.From != s.id && m.Intact()
	if from := s.ctx.Sender(); mine && from != nil && s.isElsewhere(h) {
		s.send(from, &messages.RequestVoteReply{Header: s.header(h.From), PreVote: m.PreVote, Round: m.Round})
	}
}

// other finds, or meets, a sender that is in no configuration here: this server may lag, and not know the leader or candidate that it
// needs. What such a sender asks is answered; what it replies is not counted. It must know the cluster id. It is where its mail comes from,
// which the transport has checked.
func (s *server) other(p *peer, h *messages.Header) *peer {
	from, now := s.ctx.Sender(), s.c.Clock.Now()
	if p == nil {
		if from == nil || s.clusterID == 0 || h.ClusterId != s.clusterID || len(h.From) == 0 || len(h.From) > mostNames {
			return nil
		}
		if p = s.peers.meet(Member{ID: h.From, Address: from.Address}, now); p == nil {
			return nil
		}
		s.c.Logger.Info("a node that is not among the members, as far as this one knows", "id", h.From, "address", from.Address)
	}
	p.came = now
	return p
}

// find notes that a peer is where its mail comes from, which the transport has checked: it may have another address than it had.
func (s *server) find(p *peer) {
	if from := s.ctx.Sender(); from != nil && from.Address != p.pid.Address {
		s.c.Logger.Info("a node is heard from another address", "id", p.ID, "before", p.pid.Address, "now", from.Address)
		p.pid = actor.NewPID(from.Address, actorName(s.group))
	}
}

// inquireOf asks a peer for its vote, wherever it may be.
func (s *server) inquireOf(p *peer, m *messages.RequestVote) {
	s.ask(p.pid, m)
	if p.hint != nil && p.hint.Address != p.pid.Address {
		s.ask(p.hint, m)
	}
}

// hear takes note of what a header says besides who sent it: whether the peer counts this server, and that the group is founded.
func (s *server) hear(p *peer, h *messages.Header) {
	p.foreign, p.level, p.unlevelled, p.elsewhere = 0, h.Level, 0, false
	p.disowns = h.ToStoreId != 0 && h.ToStoreId != s.storeID
	if p.disowns && !s.replaces() {
		s.warn(p, "a member knows this node by another data directory, and does not count what it says: "+
			"this one was wiped, replaced or copied, and the node needs its own back")
	}
	if h.ClusterId != 0 {
		s.foundedElsewhere = true
	}
	if !s.leaderless.since.IsZero() {
		p.heard = s.c.Clock.Now()
	}
}

// pin remembers the peer's data directory for good; it counts when that is durable.
func (s *state) pin(p *peer, storeID uint64) {
	p.pinnedStore, p.pinned = storeID, false
	s.outbox.pin(p.ID, storeID)
	s.outbox.hold(func() {
		if p.pinnedStore == storeID {
			p.pinned, s.peers.pins[p.ID] = true, storeID
		}
	})
}

// disowned says whether a peer knows this server by another data directory: it drops what this server's callers want.
func (s *server) disowned(by string) bool {
	p := s.peers.of(by)
	return p != nil && p.disowns
}

func (s *server) warn(p *peer, message string) {
	if !p.warned[message] {
		p.warned[message] = true
		s.c.Logger.Warn(message, "member", p.ID, "address", p.Address)
	}
}

// counts says whether what the node promises may be counted.
func (s *server) counts(id string) bool {
	p := s.peers.of(id)
	return p != nil && p.pinned
}
