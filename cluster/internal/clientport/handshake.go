package clientport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

const (
	handshakeTime  = 5 * time.Second
	handshakeBytes = 32 << 10 // what may be read before it is done: certificates have a few KiB
	lingerAlert    = 500 * time.Millisecond
)

var (
	errHandshakeBytes = errors.New("the client sent too much before the handshake was done")
	errPlain          = errors.New("the client speaks plain text: give it the authority that signed this node's certificate")
)

// handshake is a connection that may be read only a little before its handshake is done. One goroutine uses it until then.
type handshake struct {
	*conn
	turns chan struct{}
	heard int
	done  bool
}

// run returns the secured connection, or why there is none, within a bound. It takes a turn to compute, and gives it back while it waits
// for its client.
func (h *handshake) run(config *tls.Config) (*tls.Conn, error) {
	end := time.AfterFunc(min(handshakeTime, h.listener.limiter.limits.Slow), func() { _ = h.conn.Close() })
	defer end.Stop()
	h.take()
	defer h.give()
	secure := tls.Server(h, config)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		return nil, err
	}
	h.done = true
	h.pace.moved.Store(time.Now().UnixNano())
	return secure, nil
}

// take waits for a turn. While it does, the client does not stand still.
func (h *handshake) take() {
	h.pace.busy.Add(1)
	began := time.Now()
	h.turns <- struct{}{}
	h.pace.moved.Add(int64(time.Since(began)))
}

func (h *handshake) give() {
	<-h.turns
	h.pace.busy.Add(-1)
}

func (h *handshake) Read(b []byte) (int, error) {
	if h.done {
		return h.conn.Read(b)
	}
	n, err := h.receive(b)
	switch h.heard += n; {
	case h.gone.Load(): // it computes nothing more
		return 0, net.ErrClosed
	case h.heard > handshakeBytes:
		return 0, errHandshakeBytes
	case h.heard == n && isPlain(b[:n]):
		_, _ = h.Write(wantsTLS(b[:n]))
		return 0, errPlain
	}
	return n, err
}

func (h *handshake) Write(b []byte) (int, error) {
	if h.done {
		return h.conn.Write(b)
	}
	h.give()
	defer h.take()
	return h.conn.Write(b)
}

func (h *handshake) receive(b []byte) (int, error) {
	h.give()
	defer h.take()
	return h.conn.Read(b)
}

// linger lets the client read why it is refused: a connection that is closed while something arrives loses what was sent on it.
func (h *handshake) linger() {
	if tcp, ok := h.conn.Conn.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
		return
	}
	_ = h.SetReadDeadline(time.Now().Add(lingerAlert))
	_, _ = io.CopyN(io.Discard, h.conn, lingerBytes)
}
