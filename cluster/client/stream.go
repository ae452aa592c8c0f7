package client

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
)

const (
	// A stream that brought nothing for so long is pinged, and given up if nothing comes then.
	quiet, silence = 150 * time.Millisecond, 600 * time.Millisecond
	// Calls whose time is over are looked for that often.
	lookEvery = quiet / 6
	// A message has so many bytes of calls, or one call.
	messageBytes = 256 << 10
)

var errSilent = errors.New("the server does not answer")

// call is one copy of a request on its way to a server. Nobody changes it after it was given to a stream.
type call struct {
	wire messages.Call
	// answer gets one reply.
	answer chan reply
	// bytes is about how long it is.
	bytes    int
	ctx      context.Context // ends the call when it is cancelled
	deadline time.Time       // ends it, too

	sent, told bool // guarded by the stream's mu
}

// tell answers the call. The first reply counts, since the caller may use the channel again. The stream's mutex is held.
func (c *call) tell(r reply) {
	if !c.told {
		c.told = true
		c.answer <- r
	}
}

// reply is what became of a call.
type reply struct {
	answer *messages.CallAnswer
	// err is why there is no answer.
	err error
	// sent is false when the call has certainly not left.
	sent bool
}

// stream is an Exchange with one server, which many callers share. One goroutine sends what has gathered while the last message was sent,
// another receives. It is safe for concurrent use.
type stream struct {
	server *server
	cancel context.CancelFunc
	// led is called with the leader's client address whenever the server says it.
	led func(from *server, address string)

	// wake has room for one: there is something to send.
	wake chan struct{}
	// heard is when the server last sent something, or when it became its turn to, in nanoseconds since 1970.
	heard atomic.Int64

	mu      sync.Mutex
	queue   []*call
	pending map[uint64]*call
	lastID  uint64
	// credit is how many calls may be pending; 0: the server has not answered yet.
	credit int
	ping   bool
	ended  error

	over atomic.Bool // it has ended
}

// openStream begins an Exchange. The server must begin to answer within limit: nothing else is sent to it before.
func openStream(ctx context.Context, s *server, limit time.Duration, led func(*server, string)) *stream {
	ctx, cancel := context.WithCancel(ctx)
	x := &stream{
		server: s, cancel: cancel, led: led,
		wake: make(chan struct{}, 1), pending: map[uint64]*call{}, ping: true,
	}
	x.heard.Store(time.Now().UnixNano())
	x.wake <- struct{}{}
	go x.run(ctx)
	go x.watch(ctx, limit)
	return x
}

// add lets a call be sent. The error is why the stream has ended.
func (x *stream) add(c *call) error {
	x.mu.Lock()
	if err := x.ended; err != nil {
		x.mu.Unlock()
		return err
	}
	if len(x.queue)+len(x.pending) == 0 && x.credit > 0 {
		x.heard.Store(time.Now().UnixNano()) // nothing was due
	}
	x.queue = append(x.queue, c)
	x.mu.Unlock()
	x.ring()
	return nil
}

func (x *stream) ring() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

type wire = connect.BidiStreamForClientSimple[messages.ExchangeRequest, messages.ExchangeResponse]

func (x *stream) run(ctx context.Context) {
	w, err := x.server.group.Exchange(ctx)
	if err != nil {
		x.end(err)
		return
	}
	go x.receive(w)
	x.send(ctx, w)
}

func (x *stream) send(ctx context.Context, w *wire) {
	for {
		select {
		case <-x.wake:
		case <-ctx.Done():
			return
		}
		runtime.Gosched() // whoever else was answered with the one that rang may have calls too
		for m := x.take(); m != nil; m = x.take() {
			if err := w.Send(m); err != nil {
				if !errors.Is(err, io.EOF) { // otherwise receive learns why
					x.end(err)
				}
				return
			}
		}
	}
}

// take returns the next message, or nil.
func (x *stream) take() *messages.ExchangeRequest {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, bytes := 0, 0
	for n < len(x.queue) && len(x.pending) < x.credit {
		c := x.queue[n]
		if bytes += c.bytes; n > 0 && bytes > messageBytes {
			break
		}
		x.lastID++
		c.wire.Id, c.sent = x.lastID, true
		x.pending[x.lastID] = c
		n++
	}
	if n == 0 && !x.ping {
		return nil
	}
	m := &messages.ExchangeRequest{}
	if x.ping {
		m.Ping, x.ping = 1, false
	}
	m.Calls = make([]*messages.Call, n)
	for i, c := range x.queue[:n] {
		m.Calls[i] = &c.wire
	}
	left := copy(x.queue, x.queue[n:])
	clear(x.queue[left:])
	x.queue = x.queue[:left]
	return m
}

func (x *stream) receive(w *wire) {
	for {
		m, err := w.Receive()
		if err != nil {
			x.end(err)
			return
		}
		x.heard.Store(time.Now().UnixNano())
		if m.Leader != nil {
			x.led(x.server, m.GetLeader())
		}
		x.server.answered()
		x.deliver(m)
	}
}

// deliver hands out what a message brought.
func (x *stream) deliver(m *messages.ExchangeResponse) {
	x.mu.Lock()
	if m.Credit > 0 {
		x.credit = int(m.Credit)
	}
	for _, a := range m.Answers {
		c := x.pending[a.Id]
		if c == nil {
			continue
		}
		delete(x.pending, a.Id)
		c.tell(reply{answer: a, sent: true})
	}
	more := len(x.queue) > 0
	x.mu.Unlock()
	if more {
		x.ring()
	}
}

// expire tells the calls whose time is over. Those that were sent stay pending: the server counts them until it answers.
func (x *stream) expire() {
	now := time.Now()
	for _, c := range x.pending {
		c.expire(now)
	}
	x.queue = slices.DeleteFunc(x.queue, func(c *call) bool { return c.expire(now) })
}

// expire says whether nobody waits for the call any more.
func (c *call) expire(now time.Time) bool {
	switch err := c.ctx.Err(); {
	case c.told:
	case err != nil:
		c.tell(reply{err: err, sent: c.sent})
	case !now.Before(c.deadline):
		c.tell(reply{err: context.DeadlineExceeded, sent: c.sent})
	}
	return c.told
}

// watch gives the stream up when the server is silent though it should answer.
func (x *stream) watch(ctx context.Context, limit time.Duration) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		silent := time.Duration(time.Now().UnixNano() - x.heard.Load())
		x.mu.Lock()
		opened, due := x.credit > 0, len(x.queue)+len(x.pending) > 0
		if opened {
			limit = silence
		}
		x.expire()
		x.ping = x.ping || opened && due && silent > quiet
		ping := x.ping
		x.mu.Unlock()
		switch {
		case silent > limit && (due || !opened):
			x.end(errSilent)
			return
		case ping:
			x.ring()
		}
	}
}

// end gives all calls back. The first reason counts.
func (x *stream) end(err error) {
	x.mu.Lock()
	if x.ended != nil {
		x.mu.Unlock()
		return
	}
	x.ended = err
	x.over.Store(true)
	for _, c := range x.queue {
		c.tell(reply{err: err})
	}
	for _, c := range x.pending {
		c.tell(reply{err: err, sent: true})
	}
	x.queue, x.pending = nil, nil
	x.mu.Unlock()
	x.cancel()
}

// streams are those to the servers in use. It is safe for concurrent use.
type streams struct {
	lifetime context.Context
	led      func(from *server, address string)

	mu   sync.Mutex
	open map[*server]*stream
	// failed counts, for each server, streams that it did not answer, one after the other.
	failed map[*server]int
}

// to returns the stream to a server, a new one if need be. A server that did not answer in time gets more time.
func (s *streams) to(to *server) *stream {
	if x := to.stream.Load(); x != nil && !x.over.Load() {
		return x
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.open[to]
	if x != nil && !x.over.Load() {
		return x
	}
	if x != nil && !to.answeredWithin(silence) {
		s.failed[to]++
	} else {
		s.failed[to] = 0
	}
	x = openStream(s.lifetime, to, firstProbe<<min(s.failed[to], 4), s.led)
	s.open[to] = x
	to.stream.Store(x)
	return x
}

// end ends all streams.
func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.open {
		x.end(ErrClosed)
	}
}
