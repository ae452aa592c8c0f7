package client

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// Client is a connection to a cluster. It is safe for concurrent use; one is enough for a program.
//
// Every method takes a context; one without a deadline is given 5 seconds, or what [Timeout] says. Errors are sentences, and each matches
// one of this package's errors with errors.Is. A call may end some hundredths of a second after its context.
type Client struct {
	route     *route
	empty     bool // no endpoints were given
	transport *http.Transport
	closed    atomic.Bool
	// lifetime ends when the client is closed, and its calls have ended.
	lifetime context.Context
	end      context.CancelFunc
	options  options
	streams  *streams
	flight   *flight

	mu       sync.Mutex
	sessions map[string]*session // by group

	successes atomic.Uint64
	learned   atomic.Int64 // when the members' addresses were last asked for, in nanoseconds since 1970
}

// New returns a client of the cluster whose nodes have these client addresses, host:port. One reachable node is enough to
// begin with; the others are learned from it. Nothing is dialed before the first call.
func New(endpoints []string, opts ...Option) *Client {
	o := options{mostCalls: mostInFlight, timeout: defaultTimeout}
	for _, option := range opts {
		option(&o)
	}
	transport, scheme := newTransport(o.tls)
	lifetime, end := context.WithCancel(context.Background())
	endpoints = slices.DeleteFunc(slices.Clone(endpoints), func(e string) bool { return e == "" })
	c := &Client{
		route:     newRoute(&http.Client{Transport: clientPorts{transport}}, scheme, endpoints),
		empty:     len(endpoints) == 0,
		transport: transport,
		lifetime:  lifetime,
		end:       end,
		options:   o,
		streams:   &streams{lifetime: lifetime, open: map[*server]*stream{}, failed: map[*server]int{}},
		flight:    newFlight(o.mostCalls),
		sessions:  map[string]*session{},
	}
	c.streams.led = c.led
	return c
}

// closing is how long Close waits.
const closing = 100 * time.Millisecond

// Close ends the client's sessions and connections. Calls under way may finish; later ones fail with [ErrClosed]. It waits for a tenth of a
// second at most: what takes longer goes on behind it.
func (c *Client) Close() {
	if c.closed.Swap(true) {
		return
	}
	c.flight.stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-c.flight.landed
		c.closeSessions()
		c.end()
		c.streams.end()
		c.transport.CloseIdleConnections()
	}()
	select {
	case <-ended:
	case <-time.After(closing):
	}
}

func (c *Client) closeSessions() {
	ctx, cancel := context.WithTimeout(c.lifetime, time.Second)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range c.sessions {
		all.Go(func() { s.close(ctx) })
	}
	all.Wait()
}

// Status asks the nodes in turn until one answers, and returns what that node and its peers say of themselves.
func (c *Client) Status(ctx context.Context) (*messages.StatusResponse, error) {
	if err := c.ready(); err != nil {
		return nil, err
	}
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	start := time.Now()
	var last error
	var asked *server
	busy := map[*server]time.Time{} // until when
	for try := 0; ctx.Err() == nil; try++ {
		s := c.route.any()
		if wait(ctx, time.Until(busy[s])); ctx.Err() != nil {
			break
		}
		one, cancel := context.WithTimeout(ctx, 2*firstTry<<min(try, 6))
		response, err := s.cluster.Status(one, &messages.StatusRequest{})
		cancel()
		if err == nil {
			s.answered()
			c.learn(response)
			return response, nil
		}
		switch judge(err) {
		case wrong:
			return nil, invalid(err)
		case stranger:
			if !c.route.avoid(s) {
				return nil, hopeless(err)
			}
		}
		if tellsMore(ctx, err, last) {
			last, asked = err, s
		}
		c.route.failed(s, suspectRefused)
		busy[s] = time.Now().Add(retryAfter(err))
		pause(ctx, try)
	}
	return nil, unavailable(ctx, time.Since(start), addressOf(asked), last)
}

func (c *Client) ready() error {
	switch {
	case c.closed.Load():
		return ErrClosed
	case c.empty:
		return ErrNoEndpoints
	}
	return nil
}

// relearn is how often a client that is in use asks who the members are.
const relearn = 30 * time.Second

// succeeded counts what a server did. A client that is used more than once learns the other members' addresses in the background, so
// that it can do without the nodes it was given.
func (c *Client) succeeded(by *server) {
	if c.successes.Add(1) < 2 {
		return
	}
	now, before := by.heard.Load(), c.learned.Load()
	if now-before < int64(relearn) || !c.learned.CompareAndSwap(before, now) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(c.lifetime, 2*time.Second)
		defer cancel()
		_, _ = c.Status(ctx) // a failure is not this call's: the next one is due later
	}()
}

func (c *Client) learn(status *messages.StatusResponse) {
	addresses := make([]string, 0, len(status.GetMembers()))
	for _, m := range status.GetMembers() {
		addresses = append(addresses, m.GetClientAddress())
	}
	c.route.learn(addresses)
}
