package clientport

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// limiter keeps what clients hold of a node within [Limits].
type limiter struct {
	limits Limits
	write  *connect.ErrorWriter
	// leader is where clients reach the leader of a group; nil: nobody knows.
	leader func(group string) string

	connections, requests, bodies, answers *room
	// health and refusals are for requests that need no place among the others.
	health, refusals *room

	stopped chan struct{}
}

// healthChecks is how many may be under way.
const healthChecks = 64

func newLimiter(limits Limits) *limiter {
	few := func(size int) *room { return newRoom(int64(size), int64(size), limits.Still) }
	bytes := func(size int64) *room { return newRoom(size, size/connectionShare, limits.Still) }
	l := &limiter{
		limits: limits, write: connect.NewErrorWriter(HandlerOptions()...),
		connections: few(limits.Connections), requests: few(limits.Requests), health: few(healthChecks), refusals: few(limits.Requests),
		bodies: bytes(limits.RequestBytes), answers: bytes(limits.AnswerBytes),
		stopped: make(chan struct{}),
	}
	go l.watch()
	return l
}

func (l *limiter) listener(inner net.Listener) *listener {
	return &listener{Listener: inner, limiter: l}
}

func (l *limiter) stop() { close(l.stopped) }

// watch ends what clients take too long for.
func (l *limiter) watch() {
	ticker := time.NewTicker(max(min(l.limits.Slow/8, l.limits.Still), time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-l.stopped:
			return
		case now := <-ticker.C:
			for _, r := range []*room{l.requests, l.health, l.refusals} {
				for _, h := range r.late(now) {
					h.yield(l.slow())
				}
			}
		}
	}
}

func (l *limiter) slow() error {
	return connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("the request did not arrive within %v", l.limits.Slow))
}

// handler lets requests in that there is room for.
func (l *limiter) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(*conn)
		if r.Context().Err() != nil { // taken back already
			c.takenBack()
			return
		}
		v := newVisit(l, c, w, r)
		room := l.requests
		if isHealthCheck(r) {
			room, v.place.owner = l.health, &c.health
		}
		switch {
		case c.inLobby != nil && room != l.health:
			l.refuse(v, errConnections)
		case !room.enter(&v.place):
			l.refuse(v, errRequests)
		default:
			defer v.leave(room)
			v.serve(next)
		}
	})
}

var (
	errConnections = &overload{"the node is overloaded: too many clients are connected; try again"}
	errRequests    = &overload{"the node is overloaded: too many requests are under way; try again"}
	errNoRoom      = &overload{"the node is overloaded: too much is being sent to it, or asked of it, at a time; try again"}
)

// refuse answers a request that was not let in. When even that is too much, its connection, or HTTP/2 stream, is cut.
func (l *limiter) refuse(v *visit, reason error) {
	v.place.owner = &v.conn.refusals
	if !l.refusals.enter(&v.place) {
		v.enter(gone)
		panic(http.ErrAbortHandler)
	}
	defer v.leave(l.refusals)
	if v.conn.inLobby != nil {
		v.w.Header().Set("Connection", "close")
	}
	v.refuse(http.StatusTooManyRequests, reason)
	v.finish()
}
