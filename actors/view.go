package actors

import "github.com/troupe-raft/troupe/messages"

// View is a server's state after it handled a message, for simulators and tests. It is valid only during the call that got it.
type View struct{ s *server }

// Status is what the door shows from now on.
func (v View) Status() Status { return v.s.door.Status() }

// ChangedFrom is the lowest index that was appended or truncated since the view before; 0: none.
func (v View) ChangedFrom() uint64 { return v.s.changedFrom }

// Entry is an entry of the log's tail.
func (v View) Entry(index uint64) messages.EncodedEntry { return v.s.log.slice(index, index)[0] }

// Vote is whom the server voted for in its term; empty: nobody.
func (v View) Vote() string { return v.s.votedFor }

// Members is how many voters the server's group has; their places are from 0 on, in the order of ids.
func (v View) Members() int { return len(v.s.members.voters) }

// Counted is the data directory from which the member at a place counts; 0: none, or this server itself.
func (v View) Counted(place int) uint64 {
	if p := v.s.peers.all[place]; p.pinned {
		return p.store
	}
	return 0
}

// Follower is what a leader counts of the member at a place: the last index that matches, and the last round that it answered. It
// is 0 of servers that do not lead.
func (v View) Follower(place int) (match, round uint64) {
	if l, ok := v.s.role.(*leader); ok {
		return l.matchIndex[place], l.rounds[place]
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
		s.c.Observe(View{s})
	}
	s.changedFrom = 0
}
