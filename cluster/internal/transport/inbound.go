package transport

import (
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

const (
	unprovenConns = 256             // open connections that have not greeted yet, or not as they must; one more evicts the oldest
	unprovenBytes = 64 << 10        // what may be read from one of them
	unprovenTime  = 3 * time.Second // how long it may stay so
	connsPerPeer  = 2               // a peer has one; the old one may not have noticed its end yet
	silentProbes  = 2               // of the kernel, one second apart, after a second of silence: 3 s until it gives a connection up
	lingerTime    = 500 * time.Millisecond
	quietTime     = time.Minute // after which a connection that brought nothing may be displaced by another in the peer's name
)

// A door limits the server's connections. Proto.Actor makes the server and its listener, so the door stands where every
// connection must pass: it is the server's transport credentials.
type door struct {
	credentials.TransportCredentials // does whatever else gRPC asks for
	transport                        *Transport
	turns                            chan struct{} // to compute for a handshake: half of the processors, so that heartbeats go first

	mu       sync.Mutex
	unproven []*inbound // oldest first
	proven   map[string][]*inbound
	closed   bool
}

func newDoor(t *Transport) *door {
	turns := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	return &door{TransportCredentials: t.config.TLS.server(), transport: t, turns: turns, proven: map[string][]*inbound{}}
}

// inboundInfo is how a stream finds its connection.
type inboundInfo struct {
	credentials.AuthInfo
	conn *inbound
}

// ServerHandshake admits a connection and lets TLS, if any, do its work.
func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := &inbound{Conn: raw, door: d}
	if !d.admit(c) {
		_ = raw.Close()
		return nil, nil, errors.New("the transport is shut down")
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: silentProbes})
	}
	conn, info, err := d.handshake(c)
	if err != nil {
		c.refuse(RefusedHandshake)
		d.troubled(c, tlsTrouble(err), err)
		return nil, nil, err
	}
	return conn, inboundInfo{info, c}, nil
}

// handshake takes a turn to compute, and gives it back while it waits for the network.
func (d *door) handshake(c *inbound) (net.Conn, credentials.AuthInfo, error) {
	d.turns <- struct{}{}
	c.inTurn = true
	defer func() {
		c.inTurn = false
		<-d.turns
	}()
	if c.isClosed.Load() { // evicted while it waited for its turn
		return nil, nil, net.ErrClosed
	}
	return d.transport.config.TLS.server().ServerHandshake(c)
}

// Clone returns the same door: it is one per server.
func (d *door) Clone() credentials.TransportCredentials { return d }

// admit lets a connection in, at the cost of the one that has gone longest without a greeting: a flood of connections that
// say nothing must not keep out a peer, which greets within milliseconds.
func (d *door) admit(c *inbound) bool {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return false
	}
	c.timer = time.AfterFunc(unprovenTime, c.expire)
	d.unproven = append(d.unproven, c)
	var evicted *inbound
	if len(d.unproven) > unprovenConns {
		evicted = d.unproven[0]
		d.unproven = slices.Delete(d.unproven, 0, 1)
	}
	d.mu.Unlock()
	if evicted != nil {
		evicted.refuse(RefusedConnection)
	}
	return true
}

// prove moves a connection to those of its peer, if there is room. It may take the place of one that has only greeted or has gone
// silent, never of one that works: an impostor must not break the peer's own connection. A connection that ends frees its place at
// once; the kernel ends one whose other side is gone within three seconds.
func (d *door) prove(c *inbound, address string) bool {
	d.mu.Lock()
	i := slices.Index(d.unproven, c)
	if i < 0 { // it greeted before, or was closed
		defer d.mu.Unlock()
		return c.address == address || c.isClosed.Load()
	}
	all := d.proven[address]
	var evicted *inbound
	if len(all) >= connsPerPeer {
		idle := quietest(all)
		if time.Since(time.Unix(0, all[idle].frame.Load())) < quietTime {
			d.mu.Unlock()
			return false
		}
		evicted = all[idle]
		all = slices.Delete(all, idle, idle+1)
	}
	d.unproven = slices.Delete(d.unproven, i, i+1)
	c.address = address
	c.isProven.Store(true)
	c.timer.Stop()
	d.proven[address] = append(all, c)
	d.mu.Unlock()
	if evicted != nil {
		evicted.refuse(RefusedConnection)
	}
	return true
}

// quietest is the place of the connection that has brought nothing for the longest time.
func quietest(all []*inbound) int {
	place := 0
	for i, c := range all {
		if c.frame.Load() < all[place].frame.Load() {
			place = i
		}
	}
	return place
}

func (d *door) forget(c *inbound) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.timer.Stop()
	if i := slices.Index(d.unproven, c); i >= 0 {
		d.unproven = slices.Delete(d.unproven, i, i+1)
	}
	if !c.isProven.Load() {
		return
	}
	rest := slices.DeleteFunc(d.proven[c.address], func(o *inbound) bool { return o == c })
	if len(rest) == 0 {
		delete(d.proven, c.address)
	} else {
		d.proven[c.address] = rest
	}
}

// closePeer closes the connections of a peer that was removed.
func (d *door) closePeer(address string) {
	d.mu.Lock()
	all := slices.Clone(d.proven[address])
	d.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// shut closes everything and admits nothing more.
func (d *door) shut() {
	d.mu.Lock()
	d.closed = true
	all := slices.Clone(d.unproven)
	for _, conns := range d.proven {
		all = append(all, conns...)
	}
	d.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

func (d *door) count() (all, unproven int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all = len(d.unproven)
	for _, conns := range d.proven {
		all += len(conns)
	}
	return all, len(d.unproven)
}

// An inbound connection may be read only a little before the guard has heard on it the greeting of a known peer, or of a
// stranger that knows the cluster.
type inbound struct {
	net.Conn
	door                *door
	timer               *time.Timer
	address             string // of the peer, once proven; guarded by door.mu
	isProven            atomic.Bool
	frame               atomic.Int64 // when the peer's last frame came, Unix nanoseconds; 0: none came
	streams             atomic.Uint64
	inTurn              bool // the handshake's goroutine holds a turn; false afterwards
	heard               atomic.Int64
	isClosed, isRefused atomic.Bool
}

func (c *inbound) Read(b []byte) (int, error) {
	n, err := c.receive(b)
	if n == 0 || c.isProven.Load() {
		return n, err
	}
	heard := c.heard.Add(int64(n))
	if heard > unprovenBytes {
		c.refuse(RefusedLimit)
		return 0, errors.New("too much was sent before a greeting")
	}
	if heard == int64(n) && b[0] == recordHandshake && c.door.transport.config.TLS == nil {
		c.count(RefusedHandshake)
		c.door.troubled(c, troubleSecret, errors.New("it began with a TLS handshake"))
	}
	return n, err
}

// receive gives the turn back while it waits. A connection that was closed meanwhile computes nothing more.
func (c *inbound) receive(b []byte) (int, error) {
	if !c.inTurn {
		return c.Conn.Read(b)
	}
	<-c.door.turns
	n, err := c.Conn.Read(b)
	c.door.turns <- struct{}{}
	if c.isClosed.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Close closes the connection once.
func (c *inbound) Close() error {
	if !c.isClosed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	c.door.forget(c)
	return c.Conn.Close()
}

// refuse closes the connection and counts why, once.
func (c *inbound) refuse(why Refusal) {
	c.count(why)
	_ = c.Close()
}

func (c *inbound) count(why Refusal) {
	if c.isRefused.CompareAndSwap(false, true) {
		c.door.transport.counters.refused[why].Add(1)
	}
}

func (c *inbound) expire() {
	if !c.isProven.Load() && !c.isClosed.Load() {
		c.refuse(RefusedHandshake)
	}
}

// linger closes the connection a moment after its stream ended, so that the reason reaches the other side. The connection stays
// when another stream has begun: a peer that was told to try again does so here.
func (c *inbound) linger() {
	last := c.streams.Load()
	time.AfterFunc(lingerTime, func() {
		if c.streams.Load() == last {
			_ = c.Close()
		}
	})
}
