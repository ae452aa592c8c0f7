package clientport

import (
	"sync/atomic"
	"time"
)

// pace says how a client gets on with what it holds room for. It is safe for concurrent use.
type pace struct {
	moved atomic.Int64 // when, in nanoseconds since 1970
	due   atomic.Int64 // when the client is to be done; 0: no matter when
	busy  atomic.Int32 // more than 0: it is not the client that is waited for
}

func (p *pace) still(now time.Time, d time.Duration) bool {
	return p.busy.Load() <= 0 && now.UnixNano()-p.moved.Load() >= int64(d)
}

func (p *pace) late(now time.Time) bool {
	due := p.due.Load()
	return p.busy.Load() <= 0 && due != 0 && now.UnixNano() >= due
}
