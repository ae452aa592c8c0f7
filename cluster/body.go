package cluster

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// limitBody bounds requests in bytes and in time: what announces itself as too large is refused at once, the rest cut off, and
// a body must arrive within patience. ([http.Server.ReadTimeout] would also end long answers.)
func limitBody(next http.Handler, patience time.Duration) http.Handler {
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
			body := http.MaxBytesReader(w, r.Body, maxRequestBytes+1024)
			r.Body = &timedBody{ReadCloser: body, control: http.NewResponseController(w), patience: patience}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody gives a body its time, from its first read to its end.
type timedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	timed    bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	if !b.timed {
		b.timed = true
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience))
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
