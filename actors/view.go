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
