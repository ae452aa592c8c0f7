package clientport

import (
	"container/list"
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A connection too many is heard in the lobby: it is told so, or may ask for the health pages. The lobby has lobbySize places, which
// newcomers take from those that have them longest.
const (
	lobbySize = 64
	lobbyTime = 5 * time.Second
)

// clientListener accepts connections of clients within the limits.
type clientListener struct {
	net.Listener
	limiter *limiter

	mu    sync.Mutex
	lobby list.List // of *clientConn
}

// clientConn is a connection that fails when its client takes nothing for too long: who asks and does not read would hold an answer,
// and a goroutine, for ever. ([http.Server.WriteTimeout] would also end long answers.)
type clientConn struct {
	net.Conn
	listener *clientListener
	pace     pace
	place    hold
	inLobby  *list.Element // nil: it is a connection as any other
	lobbyEnd *time.Timer
	closed   sync.Once
	reads    int          // since others had their turn; of the one goroutine that reads at a time
	bytes    int          // likewise
	writing  atomic.Int64 // since when a write waits, in nanoseconds since 1970; 0: none does

	requests, health, refusals, bodies, answers owner // of one room each
	resets                                      resets
}

func (l *clientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &clientConn{Conn: conn, listener: l}
	c.pace.moved.Store(time.Now().UnixNano())
	c.place = hold{owner: new(owner), pace: &c.pace, yield: func(error) bool { return c.Close() == nil }}
	if !l.limiter.connections.enter(&c.place) {
		l.hear(c)
	}
	return c, nil
}

// hear lets a connection into the lobby for a short time.
func (l *clientListener) hear(c *clientConn) {
	var oldest *clientConn
	l.mu.Lock()
	if l.lobby.Len() == lobbySize {
		oldest = l.lobby.Front().Value.(*clientConn)
	}
	c.inLobby = l.lobby.PushBack(c)
	c.lobbyEnd = time.AfterFunc(lobbyTime, func() { _ = c.Close() })
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
}

// A connection lets others have their turn after so many reads, two for each frame of HTTP/2, or so many bytes.
const (
	turnReads = 32
	turnBytes = 32 << 10
)

// Read lets others have their turn now and then. Where much arrives, the goroutines of a connection wake each other, and Go lets them
// go on for ten milliseconds: with many connections, heartbeats would wait for all of them, at every step that they take.
func (c *clientConn) Read(b []byte) (int, error) {
	if c.reads >= turnReads || c.bytes >= turnBytes {
		c.reads, c.bytes = 0, 0
		runtime.Gosched()
	}
	n, err := c.Conn.Read(b[:min(len(b), turnBytes)])
	c.reads++
	c.bytes += n
	return n, err
}

func (c *clientConn) Write(b []byte) (int, error) {
	now := time.Now()
	if err := c.SetWriteDeadline(now.Add(c.listener.limiter.limits.Slow)); err != nil {
		return 0, err
	}
	c.writing.Store(now.UnixNano())
	defer c.writing.Store(0)
	return c.Conn.Write(b)
}

// stuck says that the client has not read from its connection for a while, so that nothing can be said to it.
func (c *clientConn) stuck() bool {
	since := c.writing.Load()
	return since != 0 && time.Now().UnixNano()-since > int64(c.listener.limiter.limits.Still)
}

// takenBack counts a request that the client took back, and ends a connection that does little else.
func (c *clientConn) takenBack() {
	if c.resets.tooMany() {
		_ = c.Close()
	}
}

func (c *clientConn) Close() error {
	c.closed.Do(func() {
		c.listener.limiter.connections.keep(&c.place, 0)
		if c.inLobby != nil {
			c.listener.mu.Lock()
			c.lobbyEnd.Stop()
			c.listener.lobby.Remove(c.inLobby)
			c.listener.mu.Unlock()
		}
	})
	return c.Conn.Close()
}

type connKey struct{}

// withConn lets requests find their connection.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// resets counts the requests that a client takes back before they are answered: they cost it nothing.
type resets struct {
	mu   sync.Mutex
	debt float64
	last time.Time
}

// A client may take back so many requests a second, and so many at once: all of its own, when the node does not answer in time.
const (
	resetRate  = 1000
	resetBurst = 4096
)

// tooMany counts one more.
func (r *resets) tooMany() bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.debt = max(0, r.debt-resetRate*now.Sub(r.last).Seconds()) + 1
	r.last = now
	return r.debt > resetBurst
}
