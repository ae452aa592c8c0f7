package client

import (
	"encoding/binary"
	"io"
	"net/http"
	"runtime"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// A message has so many bytes of calls, or one call.
	messageBytes = 32 << 10
	// mostKept is the longest message whose memory is used again.
	mostKept = 64 << 10
)

// outbound is the body of an Exchange's request. The goroutine with which HTTP sends it takes the calls from the stream: Connect would take
// them through a pipe, and send the length of each message alone.
type outbound struct {
	stream *stream
	over   chan struct{}
	once   sync.Once

	// Of the goroutine that reads.
	calls   []*call
	message []byte
	left    []byte // of the message
}

var _ io.ReadCloser = (*outbound)(nil)

// outboundKey is where the transport finds the body in a request's context.
type outboundKey struct{}

// withOutbound is the request with the stream's body, if it has one.
func withOutbound(r *http.Request) *http.Request {
	body, ok := r.Context().Value(outboundKey{}).(*outbound)
	if !ok {
		return r
	}
	_ = r.Body.Close()
	r = r.WithContext(r.Context()) // a copy
	r.Body = body
	return r
}

// Read waits until there is something to send.
func (o *outbound) Read(b []byte) (int, error) {
	for len(o.left) == 0 {
		if o.next() {
			break
		}
		select {
		case <-o.stream.wake:
			runtime.Gosched() // whoever else was answered with the one that rang may have calls too
		case <-o.over:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(b, o.left)
	o.left = o.left[n:]
	return n, nil
}

// Close ends a Read that waits.
func (o *outbound) Close() error {
	o.once.Do(func() { close(o.over) })
	return nil
}

// prefixBytes stand before each message, in Connect's protocol: flags, of which none is set, and the length.
const prefixBytes = 5

// next makes the next message, if there is something to say.
func (o *outbound) next() bool {
	var ping bool
	if o.calls, ping = o.stream.take(o.calls[:0]); len(o.calls) == 0 && !ping {
		return false
	}
	if cap(o.message) > mostKept {
		o.message = nil
	}
	m := append(o.message[:0], make([]byte, prefixBytes)...)
	for _, c := range o.calls {
		m = c.append(m)
	}
	if n := len(o.calls); n > 0 {
		o.stream.encoded.Store(o.calls[n-1].id)
	}
	clear(o.calls)
	if ping {
		m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), 1)
	}
	binary.BigEndian.PutUint32(m[1:prefixBytes], uint32(len(m)-prefixBytes))
	o.message, o.left = m, m
	return true
}

// take returns the calls of the next message, and whether it is to have a ping.
func (x *stream) take(calls []*call) (_ []*call, ping bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, bytes := 0, 0
	for n < len(x.queue) && len(x.pending) < x.credit {
		c := x.queue[n]
		if bytes += len(c.body); n > 0 && bytes > messageBytes {
			break
		}
		x.lastID++
		c.id, c.sent = x.lastID, true
		x.pending[x.lastID] = c
		n++
	}
	calls = append(calls, x.queue[:n]...)
	left := copy(x.queue, x.queue[n:])
	clear(x.queue[left:])
	x.queue = x.queue[:left]
	ping, x.ping = x.ping, false
	return calls, ping
}
