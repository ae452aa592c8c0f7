package clientport

import (
	"bufio"
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection that fails when its client takes nothing for too long: who asks and does not read would hold an answer,
// and a goroutine, for ever. ([http.Server.WriteTimeout] would also end long answers.)
type conn struct {
	net.Conn
	listener *listener
	buffer   *bufio.Reader // HTTP/2 reads each frame in two parts
	pace     pace
	place    hold
	inLobby  *list.Element // nil: it is a connection as any other
	lobbyEnd *time.Timer
	closed   sync.Once
	gone     atomic.Bool  // closed has begun
	reads    int          // since others had their turn; of the one goroutine that reads at a time
	bytes    int          // likewise
	writing  atomic.Int64 // since when a write waits, in nanoseconds since 1970; 0: none does

	requests, health, refusals, bodies, answers owner // of one room each
	resets                                      resets
}

// readBuffer is for frames of common length. Longer ones are read past it.
const readBuffer = 4 << 10

// A connection lets others have their turn after so many reads, two for each frame of HTTP/2, or so many bytes.
const (
	turnReads = 32
	turnBytes = 32 << 10
)

// Read lets others have their turn now and then. Where much arrives, the goroutines of a connection wake each other, and Go lets them
// go on for ten milliseconds: with many connections, heartbeats would wait for all of them, at every step that they take.
func (c *conn) Read(b []byte) (int, error) {
	if c.reads >= turnReads || c.bytes >= turnBytes {
		c.reads, c.bytes = 0, 0
		runtime.Gosched()
	}
	n, err := c.buffer.Read(b[:min(len(b), turnBytes)])
	c.reads++
	c.bytes += n
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	now := time.Now()
	if err := c.SetWriteDeadline(now.Add(c.listener.limiter.limits.Slow)); err != nil {
		return 0, err
	}
	c.writing.Store(now.UnixNano())
	defer c.writing.Store(0)
	return c.Conn.Write(b)
}

// stuck says that the client has not read from its connection for a while, so that nothing can be said to it.
func (c *conn) stuck() bool {
	since := c.writing.Load()
	return since != 0 && time.Now().UnixNano()-since > int64(c.listener.limiter.limits.Still)
}

// takenBack counts a request that the client took back, and ends a connection that does little else.
func (c *conn) takenBack() {
	if c.resets.tooMany() {
		_ = c.Close()
	}
}

func (c *conn) Close() error {
	c.closed.Do(func() {
		c.gone.Store(true)
		c.listener.limiter.connections.keep(&c.place, 0)
		if c.inLobby != nil {
			c.listener.lobby.leave(c)
		}
	})
	return c.Conn.Close()
}

type connKey struct{}

// withConn lets requests find their connection.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn().(*handshake).conn
	}
	return context.WithValue(ctx, connKey{}, conn)
}
