package clientport

import (
	"context"
	"io"
	"net/http"
	"time"
)

// pieceBytes is how much of an answer is sent at a time, so that it shows whether the client reads.
const pieceBytes = 64 << 10

// answer is the answer of a visit. It has room before it is sent, and the client's attention while it is sent.
type answer struct {
	http.ResponseWriter
	visit  *visit
	hold   hold
	begun  bool
	wrote  bool
	failed bool
	group  string // whose leader it names; empty: the first
	// hasRoom: the handler took room for all that it sends. To wait for more would keep it from giving that back.
	hasRoom bool
}

// MakeRoom takes room for an answer of so many bytes, for a handler that has not made it yet: cluster.MakeRoom says how to use it.
func MakeRoom(ctx context.Context, bytes int) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return nil
	}
	return v.answer.makeRoom(ctx, int64(bytes))
}

func (a *answer) makeRoom(ctx context.Context, bytes int64) error {
	limiter, more := a.visit.limiter, bytes-a.hold.amount
	switch {
	case a.hasRoom || bytes <= smallBytes || more <= 0:
		return nil
	case more <= a.hold.amount:
		// An answer is a little longer than what its handler asked for. Who waits for that with room in hand keeps all others waiting.
		limiter.answers.extend(&a.hold, more)
		return nil
	case !limiter.answers.take(ctx, &a.hold, more, limiter.limits.Patience):
		return RPCError(errNoRoom)
	}
	return nil
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(p []byte) (n int, err error) {
	v := a.visit
	a.begin()
	if a.failed || a.makeRoom(v.r.Context(), int64(len(p))) != nil {
		a.failed = true
		return 0, errNoRoom
	}
	a.wrote = true
	v.enter(answering)
	defer v.enter(working)
	for {
		v.move()
		v.pace.due.Store(a.due())
		piece := p[n:min(n+pieceBytes, len(p))]
		written, err := a.ResponseWriter.Write(piece)
		if n += written; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Flush is for handlers that send an answer in parts.
func (a *answer) Flush() {
	v := a.visit
	a.begin()
	v.enter(answering)
	defer v.enter(working)
	v.pace.due.Store(a.due())
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// due is when the client must have taken something. Who was interrupted already has little time to read why.
func (a *answer) due() int64 {
	limits := a.visit.limiter.limits
	if a.visit.body.err != nil && a.visit.body.err != io.EOF {
		return time.Now().Add(limits.Still).UnixNano()
	}
	return time.Now().Add(limits.Slow).UnixNano()
}
