package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A stream that brought nothing for so long is pinged, and given up if nothing comes then.
	quiet, silence = 150 * time.Millisecond, 600 * time.Millisecond
	// Calls whose time is over are looked for that often.
	lookEvery = quiet / 6
)

var errSilent = errors.New("the server does not answer")

// stream is an Exchange with one server, which many callers share. HTTP's goroutine sends what has gathered while the last message was
// sent, another one receives. It is safe for concurrent use.
type stream struct {
	server *server
	cancel context.CancelFunc
	// led is called with the leader's client address whenever the server says it.
	led func(from *server, address string)

	// wake has room for one: there is something to send.
	wake chan struct{}
	// heard is when the server last sent something, or when it became its turn to, in nanoseconds since 1970.
	heard atomic.Int64
	// encoded is the last call that was: an answer to a later one is no answer, and its call is still being read.
	encoded atomic.Uint64

	mu      sync.Mutex
	queue   []*call
	pending map[uint64]*call
	told    []*call // of receive alone: who is to be woken
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

func (x *stream) run(ctx context.Context) {
	body := &outbound{stream: x, over: make(chan struct{})}
	w, err := x.server.exchange.CallBidiStreamSimple(context.WithValue(ctx, outboundKey{}, body))
	for err == nil {
		var m *inbound
		if m, err = w.Receive(); err == nil {
			x.receive(m)
		}
	}
	x.end(err)
}

// receive hands out what a message brought.
func (x *stream) receive(m *inbound) {
	x.heard.Store(time.Now().UnixNano())
	if m.named {
		x.led(x.server, m.leader)
	}
	x.server.answered()
	x.mu.Lock()
	if m.credit > 0 {
		x.credit = m.credit
	}
	told := x.told[:0]
	encoded := x.encoded.Load()
	for _, a := range m.answers {
		if c := x.pending[a.id]; c != nil && a.id <= encoded {
			delete(x.pending, a.id)
			if c.settle(reply{answer: a, sent: true}) {
				told = append(told, c)
			}
		}
	}
	more := len(x.queue) > 0
	x.mu.Unlock()
	x.wakeAll(told)
	clear(told)
	x.told = told
	if more {
		x.ring()
	}
}

// wakeAll wakes callers, most of whom call again at once. Go lets those who were woken run in turn, but the last one first: the goroutine
// that sends, rung just before that one, comes after all of them, and sends what they have together. The mutex is not held: they want it.
func (x *stream) wakeAll(told []*call) {
	const many = 4
	for i, c := range told {
		if i == len(told)-1 && len(told) >= many {
			x.ring()
		}
		c.wake()
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
		c.end(err)
	}
	for _, c := range x.pending {
		c.end(err)
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
