package cluster

import (
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/clientport"
)

// ClientLimits bound what all clients of a node together may hold of it. Zero values mean defaults. When something is short, a
// request that waits for its client makes room for one that moves; what finds no room all the same is refused as overload.
type ClientLimits struct {
	// Connections is how many clients may be connected; default 2048. A few more are told so, and may ask for the health pages.
	Connections int
	// Requests is how many requests may be under way; default 4096.
	Requests int
	// Calls is how many calls one stream of Group.Exchange may have without an answer; default 4096, which is also what a group admits.
	Calls int
	// RequestBytes is for bodies of requests under way, and AnswerBytes for answers; default 64 MiB each. One connection may have a
	// quarter of it. Small ones, of up to 16 KiB, are not counted. A node's memory can grow by several times these numbers.
	RequestBytes, AnswerBytes int64
	// Slow is how long a body may take, and how long a client may take nothing of its answer; default 30 s.
	Slow time.Duration
	// Still is how long a client may rest when others need its room; default 250 ms.
	Still time.Duration
	// Patience is how long a request waits for room; default 1 s.
	Patience time.Duration
}

func (l *ClientLimits) setDefaults() { (*clientport.Limits)(l).SetDefaults() }

func (l ClientLimits) validate() error { return clientport.Limits(l).Validate() }
