package actors

import "github.com/troupe-raft/troupe/messages"

// Observation is a server's state after it handled a message, for simulators and tests. It is valid only during the call that got it.
type Observation struct{ s *server }

// Status is what the door shows from now on.
func (o Observation) Status() Status { return o.s.door.Status() }

// ChangedFrom is the lowest index that was appended or truncated since the view before; 0: none.
func (o Observation) ChangedFrom() uint64 { return o.s.changedFrom }

// Cut is where the log begins: the last entry that was cut, and its term.
func (o Observation) Cut() (index, term uint64) { return o.s.log.compacted, o.s.log.compactedTerm }

// Snapshot is the newest one; nil: none.
func (o Observation) Snapshot() *messages.Snapshot { return o.s.snapshot }

// Entry is an entry of the log's tail.
func (o Observation) Entry(index uint64) messages.EncodedEntry { return o.s.log.slice(index, index)[0] }

// Vote is whom the server voted for in its term; empty: nobody.
func (o Observation) Vote() string { return o.s.votedFor }

// Configuration is the one in force.
func (o Observation) Configuration() *Configuration { return o.s.configuration() }

// Electorate says which votes make a leader now.
func (o Observation) Electorate() Quorum { return o.s.electorate() }

// Level is the feature level of the group, as of the server's log.
func (o Observation) Level() uint32 { return o.s.charter().level }

// Counted is the data directory from which a member counts; 0: none, or this server itself.
func (o Observation) Counted(id string) uint64 {
	if p := o.s.peers.of(id); p != nil && p.pinned {
		return p.pinnedStore
	}
	return 0
}

// Progress is what a leader counts of a member: the last index that matches, and the last round that it answered. It is 0 of servers
// that do not lead.
func (o Observation) Progress(id string) (match, round uint64) {
	if p := o.s.role.members().of(id); p != nil {
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
