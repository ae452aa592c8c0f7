package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// stopped is the role of a server that waits for its children to end. It does nothing more: nobody is to take it for a leader.
type stopped struct{ active }

func (*stopped) kind() Role                                         { return Stopped }
func (*stopped) enter(s *server)                                    { s.alarm.deadline = time.Time{} }
func (*stopped) receive(*server, any)                               {}
func (*stopped) appendEntries(*server, *messages.AppendEntries)     {}
func (*stopped) installSnapshot(*server, *messages.InstallSnapshot) {}
func (*stopped) timeout(*server)                                    {}
func (*stopped) describe(*server, *Status)                          {}
