package actors

import (
	"cmp"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// state is the State box of Figure 2. The rules that need nothing else are its methods: a message in, a reply out.
type state struct {
	id      string
	group   string
	storeID uint64
	// level is the newest feature level that this server knows.
	level uint32
	// clusterID is the random id in the group's first entry, or in the configuration of a survivor; 0 until that is committed.
	clusterID uint64

	// Persistent state on all servers. In memory it may run ahead of the disk; promises may not: see outbox.
	currentTerm uint64
	votedFor    string
	log         raftLog
	// snapshot is the newest one, which the log goes on from; nil: none.
	snapshot *messages.Snapshot
	charters charters // of the snapshot, and of what is in the log
	// founders are those that the server was configured with.
	founders *Configuration

	// Volatile state on all servers.
	commitIndex uint64
	lastApplied uint64

	outbox  outbox
	promise promise
	peers   peers

	// belonged: this server was in the group.
	belonged bool

	changedFrom uint64 // see Observation
}

// Volatile state on leaders is in leader (matchIndex) and replicator (nextIndex).

// newState is what was recovered. Nothing is applied: the machine is empty, and restores the snapshot first.
func newState(c *Config, identity *messages.Identity, r persistence.Recovered) (state, error) {
	founders := newConfiguration(0, c.Members, nil, nil)
	s := state{
		id: c.ID, group: c.Group, storeID: identity.StoreId, level: c.Level,
		clusterID:   cmp.Or(r.HardState.ClusterID, c.ClusterID),
		currentTerm: r.HardState.Term, votedFor: r.HardState.Vote, log: newLog(r, min(c.Limits.granule(), c.granule)), snapshot: r.Snapshot,
		charters: charters{{configuration: founders}}, founders: founders,
		commitIndex: max(r.HardState.Commit, r.Compacted, r.Snapshot.GetLastIncludedIndex()),
		outbox:      outbox{group: c.Number, durable: r.Last}, peers: newPeers(c, r.PeerStores),
		promise:  promise{longest: r.HardState.Promise, durable: r.HardState.Promise},
		belonged: r.PeerStores[c.ID] == identity.StoreId,
	}
	if in := r.Snapshot.GetCharter(); in != nil {
		if err := s.adopt(in); err != nil {
			return s, err
		}
	}
	s.peers.follow(s.configuration(), s.id)
	for _, a := range r.Amendments {
		if a.Index <= s.snapshot.GetLastIncludedIndex() {
			continue // the snapshot has it
		}
		if err := s.recoverAmendment(a); err != nil {
			return s, err
		}
	}
	if r.Compacted == 0 && r.Last > 0 && s.charter().index == 0 {
		return s, errFounding
	}
	s.pinNamed(s.configuration()) // and not those before: a pin of one that was replaced since would take the place of a durable one
	s.commit(s.commitIndex)
	return s, nil
}

func (s *state) recoverAmendment(a persistence.IndexedEntry) error {
	e, err := messages.DecodeEntry(a.Entry)
	if err == nil {
		err = s.amend(a.Index, e)
	}
	if err == nil && a.Index == 1 {
		err = s.foundedByOthers(s.configuration())
	}
	return err
}

// header of a message to the node to.
func (s *state) header(to string) *messages.Header {
	h := &messages.Header{
		ClusterId: s.clusterID, Group: s.group, From: s.id, To: to, StoreId: s.storeID, Term: s.currentTerm, Level: s.level,
	}
	if p := s.peers.of(to); s.peers.isMember(p) {
		h.ToStoreId = p.pinnedStore
	}
	return h
}

// setTerm begins a term in which this server has not voted.
func (s *state) setTerm(term uint64) {
	s.currentTerm, s.votedFor = term, ""
	s.outbox.promise()
}

// vote for a candidate in currentTerm: once.
func (s *state) vote(candidate string) {
	s.votedFor = candidate
	s.outbox.promise()
}

// append adds an entry of the term to the log.
func (s *state) append(term uint64, kind messages.Entry_Kind, data []byte) {
	s.appendEncoded(term, messages.EncodeEntry(term, kind, data))
	if kind.Amends() {
		s.mustAmend(messages.EntryView{Term: term, Kind: kind, Data: data})
	}
}

// Small entries share arrays. Each of them keeps its array in memory.
const (
	arrayBytes = 32 << 10
	smallEntry = arrayBytes / 8
)

// appendProposals adds an entry of the current term for each proposal. The first is stamped with the time, unless that is 0.
func (s *state) appendProposals(proposals []proposal, time uint64) {
	small := 0
	for i := range proposals {
		if n := s.entry(&proposals[i]).Size(); n <= smallEntry {
			small += n
		}
	}
	var array []byte
	for i := range proposals {
		e := s.entry(&proposals[i])
		e.Time, time = time, 0
		n := e.Size()
		if n > smallEntry {
			s.appendEncoded(s.currentTerm, e.AppendTo(make([]byte, 0, n)))
			continue
		}
		if n > cap(array)-len(array) {
			array = make([]byte, 0, max(n, min(small, arrayBytes)))
		}
		small -= n
		start := len(array)
		array = e.AppendTo(array)
		s.appendEncoded(s.currentTerm, array[start:len(array):len(array)])
	}
}

func (s *state) entry(p *proposal) *messages.EntryView {
	return &messages.EntryView{Term: s.currentTerm, Kind: p.kind, Data: p.data, Session: p.session}
}

func (s *state) appendEncoded(term uint64, entry messages.EncodedEntry) {
	s.log.append(term, entry)
	s.outbox.entry(s.log.last)
	s.changed(s.log.last)
}

// truncate removes the entry at from and all that follow it.
func (s *state) truncate(from uint64) {
	s.log.truncate(from)
	s.outbox.truncated(from)
	if s.charter().index >= from {
		s.charters.truncate(from)
		s.peers.follow(s.configuration(), s.id)
	}
	s.changed(from)
}

// commit raises commitIndex; it never falls.
func (s *state) commit(index uint64) {
	s.commitIndex = max(s.commitIndex, index)
	if s.clusterID == 0 && s.commitIndex > 0 {
		s.clusterID = s.charter().clusterID
	}
	if !s.belonged && s.charter().level >= messages.LevelMembership {
		s.belongs()
	}
}

// commitWith raises commitIndex to what a leader has committed. A server that knows no cluster id takes the leader's: its own log may end
// where it names an older one, before the group lost its quorum and became another cluster.
func (s *state) commitWith(leader *messages.Header, index uint64) {
	if s.clusterID == 0 && index > 0 {
		s.clusterID = leader.ClusterId
	}
	s.commit(index)
}

func (s *state) hardState() persistence.HardState {
	return persistence.HardState{
		Term: s.currentTerm, Vote: s.votedFor, Commit: s.commitIndex, ClusterID: s.clusterID, Promise: s.promise.longest,
	}
}

// applicable is the last index that may be applied: committed, and durable here.
func (s *state) applicable() uint64 { return min(s.commitIndex, s.outbox.durable) }
