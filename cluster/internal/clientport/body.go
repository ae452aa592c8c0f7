package clientport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxRequestBytes bounds a request's body, compressed and not: two values of a map in base64, with room.
const maxRequestBytes = 4 << 20

// smallBytes is what a request's body, and its answer, may have without room being taken for it: its place is enough.
const smallBytes = 16 << 10

// stepBytes is what a body must have got on by to count as moving: one byte now and then is not enough.
const stepBytes = 4 << 10

// packedFactor is how much a byte of a compressed body can unpack to, and packedCopies how often what is unpacked is in memory: in
// a buffer that grows by doubling, and in the message.
const (
	packedFactor = 1032
	packedCopies = 4
)

var errTooLarge = fmt.Errorf("the request is too large: send at most %d bytes", maxRequestBytes)

// body is the body of a visit. It takes room for what is read of it, before it is read.
type body struct {
	io.ReadCloser
	visit *visit
	hold  hold
	end   int64 // when it must have arrived, in nanoseconds since 1970

	factor  int64 // what it may unpack to
	size    int64 // what it may have, at most
	allowed int64 // what may be read of it as yet
	read    int64
	step    int64 // when it last counted as moving
	err     error
}

// plan says how much a body may have: as much as is announced, or within the limit what it likes. It is false when a compressed body,
// or a message that is in the query of its request, finds no room. A compressed body that waited for it in its handler would have a
// buffer of Connect's in hand, into which another one was unpacked before.
func (b *body) plan() bool {
	r := b.visit.r
	b.factor, b.size = 1, maxRequestBytes+1
	if isPacked(r) {
		b.factor = packedFactor
	}
	if r.ContentLength >= 0 {
		b.size = r.ContentLength
	}
	b.allowed = min(b.size, smallBytes/b.factor)
	if query := b.weight(int64(len(r.URL.RawQuery))); query > smallBytes && !b.take(query) {
		return false
	}
	if b.factor > 1 && r.ContentLength > b.allowed {
		b.allowed = b.size
		return b.take(b.weight(b.size))
	}
	return true
}

func isPacked(r *http.Request) bool {
	if r.Method == http.MethodGet {
		return strings.Contains(r.URL.RawQuery, "compression=")
	}
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if value := r.Header.Get(name); value != "" && value != "identity" {
			return true
		}
	}
	return false
}

// weight is the room for n bytes of the body.
func (b *body) weight(n int64) int64 {
	if b.factor == 1 {
		return min(n, maxRequestBytes)
	}
	return min(packedCopies*min(n*b.factor, maxRequestBytes), b.visit.limiter.bodies.share)
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.read == b.allowed && b.allowed < b.size {
		b.visit.enter(working) // it waits for the node
		if !b.take(b.weight(b.size)) {
			b.err = RPCError(errNoRoom)
			return 0, b.err
		}
		b.allowed = b.size
	}
	b.visit.pace.due.Store(b.end)
	b.visit.enter(receiving)
	if left := b.allowed - b.read; int64(len(p)) > left && left > 0 {
		p = p[:left]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case b.read > maxRequestBytes:
		b.linger()
		b.err = RPCError(errTooLarge)
		return 0, b.err
	case err != nil:
		b.err = b.ended(err)
		return n, b.err
	case b.read-b.step >= stepBytes:
		b.step = b.read
		b.visit.move()
	}
	return n, nil
}

func (b *body) take(bytes int64) bool {
	v := b.visit
	return v.limiter.bodies.take(v.r.Context(), &b.hold, bytes, v.limiter.limits.Patience)
}

// ended is called when there is nothing more to read.
func (b *body) ended(err error) error {
	v := b.visit
	v.enter(working)
	if err == io.EOF {
		v.limiter.bodies.keep(&b.hold, b.weight(b.read))
		return err
	}
	if v.reason == nil {
		return err
	}
	return v.reason
}

// A client that sends too much over HTTP/1 may send so much more, for so long, and still gets to read why it is refused: a
// connection that is closed while something arrives loses what was sent on it.
const (
	lingerBytes = 16 << 20
	lingerTime  = 5 * time.Second
)

func (b *body) linger() {
	v := b.visit
	asked := v.r.Header.Get("Expect") != "" && b.read == 0 // a client that waits for a sign has not sent it
	if v.r.ProtoMajor > 1 || asked || v.r.ContentLength > lingerBytes {
		return
	}
	v.pace.due.Store(time.Now().Add(lingerTime).UnixNano())
	v.enter(receiving)
	_, _ = io.CopyN(io.Discard, b.ReadCloser, lingerBytes)
	v.enter(working)
}
