package clientport

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// visit is one request under way, and what it holds.
type visit struct {
	limiter *limiter
	conn    *conn
	w       http.ResponseWriter
	r       *http.Request

	pace   pace
	place  hold
	body   body
	stream *streamBody // in the place of the body; nil: it is no Exchange
	answer answer

	mu     sync.Mutex
	phase  phase
	reason error // why it was interrupted
}

// phase is what a visit waits for.
type phase int

const (
	working   phase = iota // for the node
	receiving              // for its client to send
	answering              // for its client to read
	gone
)

func newVisit(l *limiter, c *conn, w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{limiter: l, conn: c, w: w, r: r}
	v.pace.busy.Store(1)
	c.pace.busy.Add(1)
	v.place = v.holdOf(&c.requests)
	v.body = body{ReadCloser: r.Body, visit: v, hold: v.holdOf(&c.bodies), end: v.move() + int64(l.limits.Slow)}
	v.answer = answer{ResponseWriter: w, visit: v, hold: v.holdOf(&c.answers)}
	return v
}

func (v *visit) holdOf(o *owner) hold { return hold{owner: o, pace: &v.pace, yield: v.interrupt} }

type visitKey struct{}

func (v *visit) serve(next http.Handler) {
	if isExchange(v.r) {
		v.stream = newStreamBody(v)
		v.r.Body = v.stream
		next.ServeHTTP(&v.answer, v.r.WithContext(context.WithValue(v.r.Context(), visitKey{}, v)))
		v.finish()
		return
	}
	if v.r.ContentLength > maxRequestBytes {
		v.refuse(http.StatusRequestEntityTooLarge, errTooLarge)
		v.finish()
		return
	}
	if !v.body.plan() {
		v.refuse(http.StatusTooManyRequests, errNoRoom)
		v.finish()
		return
	}
	v.r.Body = &v.body
	next.ServeHTTP(&v.answer, v.r.WithContext(context.WithValue(v.r.Context(), visitKey{}, v)))
	v.finish()
}

// refuse answers in the place of a handler.
func (v *visit) refuse(status int, reason error) {
	v.body.linger()
	if v.limiter.write.IsSupported(v.r) {
		_ = v.limiter.write.Write(&v.answer, v.r, RPCError(reason))
		return
	}
	http.Error(&v.answer, reason.Error(), status)
}

// finish sends what HTTP/2 would send after the handler has returned, when nobody counts it any more.
func (v *visit) finish() {
	if v.answer.failed {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	if v.r.ProtoMajor > 1 && v.answer.wrote {
		v.answer.Flush()
	}
}

func (v *visit) leave(from *room) {
	v.enter(gone)
	v.limiter.bodies.keep(&v.body.hold, 0)
	v.limiter.answers.keep(&v.answer.hold, 0)
	from.keep(&v.place, 0)
	if v.r.Context().Err() != nil && v.reason == nil {
		v.conn.takenBack()
	}
}

func (v *visit) enter(p phase) {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.phase
	v.phase = p
	switch wasBusy, busy := was == working, p == working; {
	case busy && !wasBusy:
		v.pace.busy.Add(1)
		v.conn.pace.busy.Add(1)
	case wasBusy && !busy:
		v.move()
		v.pace.busy.Add(-1)
		v.conn.pace.busy.Add(-1)
	}
}

// move notes that the client gets on.
func (v *visit) move() (now int64) {
	now = time.Now().UnixNano()
	v.pace.moved.Store(now)
	v.conn.pace.moved.Store(now)
	return now
}

// interrupted is why the visit was interrupted, nil when it was not.
func (v *visit) interrupted() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reason
}

// interrupt ends a visit that waits for its client, and says whether it does.
func (v *visit) interrupt(reason error) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase != gone && v.conn.stuck() {
		_ = v.conn.Close()
		return true
	}
	control, past := http.NewResponseController(v.w), time.Unix(1, 0)
	switch v.phase {
	case receiving:
		v.reason = reason
		_ = control.SetReadDeadline(past)
	case answering:
		v.reason = reason
		if v.r.ProtoMajor == 1 { // the next write would set another deadline
			_ = v.conn.Close()
		} else {
			_ = control.SetWriteDeadline(past)
		}
	default:
		return false
	}
	return true
}
