package clientport

import (
	"context"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// smallBytes is what a request's body, and its answer, may have without room being taken for it: its place is enough.
const smallBytes = 16 << 10

// visit is one request under way, and what it holds.
type visit struct {
	limiter *limiter
	conn    *conn
	w       http.ResponseWriter
	r       *http.Request
	in      inbound
	out     outbound

	pace                pace
	place, body, answer hold

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
	v.place = hold{owner: &c.requests, pace: &v.pace, yield: v.interrupt}
	v.body = hold{owner: &c.bodies, pace: &v.pace, yield: v.interrupt}
	v.answer = hold{owner: &c.answers, pace: &v.pace, yield: v.interrupt}
	v.pace.busy.Store(1)
	c.pace.busy.Add(1)
	v.in = inbound{ReadCloser: r.Body, visit: v, end: v.move() + int64(l.limits.Slow)}
	v.out = outbound{ResponseWriter: w, visit: v}
	return v
}

type visitKey struct{}

// MakeRoom is for handlers on the client port whose answers may be large: they call it with the context of their request before they
// make an answer of so many bytes. It waits a moment for room, and fails with resource_exhausted when there is none. Elsewhere it does
// nothing.
func MakeRoom(ctx context.Context, bytes int) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return nil
	}
	return v.makeRoom(ctx, int64(bytes))
}

func (v *visit) makeRoom(ctx context.Context, bytes int64) error {
	more := bytes - v.answer.amount
	switch {
	case bytes <= smallBytes || more <= 0:
		return nil
	case more <= v.answer.amount:
		// An answer is a little longer than what its handler asked for. Who waits for that with room in hand keeps all others waiting.
		v.limiter.answers.extend(&v.answer, more)
		return nil
	case !v.limiter.answers.take(ctx, &v.answer, more, v.limiter.limits.Patience):
		return connect.NewError(connect.CodeResourceExhausted, errNoRoom)
	}
	return nil
}

func (v *visit) serve(next http.Handler) {
	if v.r.ContentLength > maxRequestBytes {
		v.refuse(connect.CodeInvalidArgument, http.StatusRequestEntityTooLarge, errTooLarge)
		v.finish()
		return
	}
	if !v.in.plan() {
		v.refuse(connect.CodeResourceExhausted, http.StatusTooManyRequests, errNoRoom)
		v.finish()
		return
	}
	v.r.Body = &v.in
	next.ServeHTTP(&v.out, v.r.WithContext(context.WithValue(v.r.Context(), visitKey{}, v)))
	v.finish()
}

// refuse answers in the place of a handler.
func (v *visit) refuse(code connect.Code, status int, reason error) {
	v.in.linger()
	if v.limiter.write.IsSupported(v.r) {
		_ = v.limiter.write.Write(&v.out, v.r, connect.NewError(code, reason))
		return
	}
	http.Error(&v.out, reason.Error(), status)
}

// finish sends what HTTP/2 would send after the handler has returned, when nobody counts it any more.
func (v *visit) finish() {
	if v.out.failed {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	if v.r.ProtoMajor > 1 && v.out.wrote {
		v.out.Flush()
	}
}

func (v *visit) leave(from *room) {
	v.enter(gone)
	v.limiter.bodies.keep(&v.body, 0)
	v.limiter.answers.keep(&v.answer, 0)
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
