package cluster

import (
	"cmp"
	"fmt"
	"time"
)

// ClientLimits bound what all clients of a node together may hold of it. Zero values mean defaults. When something is short, a
// request that waits for its client makes room for one that moves; what finds no room all the same is refused as overload.
type ClientLimits struct {
	// Connections is how many clients may be connected; default 2048. A few more are told so, and may ask for the health pages.
	Connections int
	// Requests is how many requests may be under way; default 4096.
	Requests int
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

func (l *ClientLimits) setDefaults() {
	l.Connections = cmp.Or(l.Connections, 2048)
	l.Requests = cmp.Or(l.Requests, 4096)
	l.RequestBytes = cmp.Or(l.RequestBytes, 64<<20)
	l.AnswerBytes = cmp.Or(l.AnswerBytes, 64<<20)
	l.Slow = cmp.Or(l.Slow, 30*time.Second)
	l.Still = cmp.Or(l.Still, 250*time.Millisecond)
	l.Patience = cmp.Or(l.Patience, time.Second)
}

// connectionShare is the part of all bytes that one connection may have.
const connectionShare = 4

func (l ClientLimits) validate() error {
	const least, most = connectionShare * maxRequestBytes, 1 << 40
	switch {
	case l.Connections < 1 || l.Connections > 1<<20 || l.Requests < 1 || l.Requests > 1<<20:
		return fmt.Errorf("%d connections of clients and %d requests under way are not possible: give 1 to %d of each", l.Connections, l.Requests, 1<<20)
	case l.RequestBytes < least || l.AnswerBytes < least || l.RequestBytes > most || l.AnswerBytes > most:
		return fmt.Errorf("%d bytes for requests and %d for answers are not possible: give %d to %d for each", l.RequestBytes, l.AnswerBytes, least, most)
	case l.Slow <= 0 || l.Still <= 0 || l.Patience <= 0:
		return fmt.Errorf("the times %v, %v and %v of clients must be more than 0", l.Slow, l.Still, l.Patience)
	}
	return nil
}
