package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

// limitBody bounds requests in bytes and in time: what announces itself as too large is refused at once, the rest cut off, and
// a body must arrive within patience. ([http.Server.ReadTimeout] would also end long answers.) The bodies of all requests under way
// may have room bytes together; what is read beyond is refused as overload.
func limitBody(next http.Handler, patience time.Duration, room int64) http.Handler {
	var left atomic.Int64
	left.Store(room)
	write := connect.NewErrorWriter(HandlerOptions()...)
	tooLarge := fmt.Errorf("the request is too large: send at most %d bytes", maxRequestBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ContentLength > maxRequestBytes && write.IsSupported(r):
			w.Header().Set("Connection", "close")
			_ = write.Write(w, r, connect.NewError(connect.CodeInvalidArgument, tooLarge))
			return
		case r.ContentLength > maxRequestBytes:
			w.Header().Set("Connection", "close")
			http.Error(w, tooLarge.Error(), http.StatusRequestEntityTooLarge)
			return
		case r.ContentLength != 0:
			// Connect itself says what is too large, so that it gets to see a little more than it takes.
			body := &boundedBody{
				ReadCloser: http.MaxBytesReader(w, r.Body, maxRequestBytes+1024), control: http.NewResponseController(w),
				patience: patience, left: &left,
			}
			defer func() { left.Add(body.held) }()
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

// boundedBody gives a body its time, from its first read to its end, and takes room for what was read.
type boundedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	timed    bool
	left     *atomic.Int64
	held     int64
}

var errNoRoom = errors.New("the node is overloaded: too much is being sent to it at a time; try again")

func (b *boundedBody) Read(p []byte) (int, error) {
	if !b.timed {
		b.timed = true
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience))
	}
	n, err := b.ReadCloser.Read(p)
	b.held += int64(n)
	if b.left.Add(-int64(n)) < 0 {
		return 0, connect.NewError(connect.CodeResourceExhausted, errNoRoom)
	}
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
