package actors

import "github.com/troupe-raft/troupe/messages"

// Observation is a server's state after it handled a message, for simulators and tests. It is valid only during the call that got it.
type Observation struct{ s *server }

// Status is what the door shows from now on.
func (v Observation) Status() Status { return v.s.door.Status() }

// ChangedFrom is the lowest index that was appended or truncated since the view before; 0: none.
func (v Observation) ChangedFrom() uint64 { return v.s.changedFrom }

// Entry is an entry of the log's tail.
func (v Observation) Entry(index uint64) messages.EncodedEntry { return v.s.log.slice(index, index)[0] }

// Vote is whom the server voted for in its term; empty: nobody.
func (v Observation) Vote() string { return v.s.votedFor }

// Configuration is the one in force.
func (v Observation) Configuration() *Configuration { return v.s.configuration() }

// Electorate says which votes make a leader now.
func (v Observation) Electorate() Quorum { return v.s.electorate() }

// Level is the feature level of the group, as of the server's log.
func (v Observation) Level() uint32 { return v.s.charter().level }

// Counted is the data directory from which a member counts; 0: none, or this server itself.
func (v Observation) Counted(id string) uint64 {
	if p := v.s.peers.of(id); p != nil && p.pinned {
		return p.pinnedStore
	}
	return 0
}

// Progress is what a leader counts of a member: the last index that matches, and the last round that it answered. It is 0 of servers
// that do not lead.
func (v Observation) Progress(id string) (match, round uint64) {
	if p := v.s.role.members().of(id); p != nil {
		return p.match, p.round
	}
	return 0, 0
}

// changed notes where the log differs from what the last view showed.
func (s *state) changed(index uint64) {
	if s.changedFrom == 0 || index < s.changedFrom {
		s.changedFrom = index
	}
}

func (s *server) observe() {
	if s.c.Observe != nil {
		s.c.Observe(Observation{s})
	}
	s.changedFrom = 0
}
