package clientport

import (
	"io"
	"net/http"
	"time"
)

// pieceBytes is how much of an answer is sent at a time, so that it shows whether the client reads.
const pieceBytes = 64 << 10

// outbound is the answer of a visit. It has room before it is sent, and the client's attention while it is sent.
type outbound struct {
	http.ResponseWriter
	visit  *visit
	wrote  bool
	failed bool
}

// Unwrap is for [http.ResponseController].
func (o *outbound) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *outbound) Write(p []byte) (n int, err error) {
	v := o.visit
	if o.failed || v.makeRoom(v.r.Context(), int64(len(p))) != nil {
		o.failed = true
		return 0, errNoRoom
	}
	o.wrote = true
	v.enter(answering)
	defer v.enter(working)
	for {
		v.move()
		v.pace.due.Store(o.due())
		piece := p[n:min(n+pieceBytes, len(p))]
		written, err := o.ResponseWriter.Write(piece)
		if n += written; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Flush is for handlers that send an answer in parts.
func (o *outbound) Flush() {
	v := o.visit
	v.enter(answering)
	defer v.enter(working)
	v.pace.due.Store(o.due())
	_ = http.NewResponseController(o.ResponseWriter).Flush()
}

// due is when the client must have taken something. Who was interrupted already has little time to read why.
func (o *outbound) due() int64 {
	limits := o.visit.limiter.limits
	if o.visit.in.err != nil && o.visit.in.err != io.EOF {
		return time.Now().Add(limits.Still).UnixNano()
	}
	return time.Now().Add(limits.Slow).UnixNano()
}
