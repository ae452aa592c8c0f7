package client

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// Client is a connection to a cluster. It is safe for concurrent use; one is enough for a program.
//
// Every method takes a context; one without a deadline is given 5 seconds. Errors are sentences, and each matches one of this
// package's errors with errors.Is.
type Client struct {
	route     *route
	empty     bool // no endpoints were given
	transport *http.Transport
	closed    atomic.Bool
	// lifetime ends with Close.
	lifetime context.Context
	end      context.CancelFunc

	successes atomic.Uint64
	learned   atomic.Int64 // when the members' addresses were last asked for, in nanoseconds since 1970
}

// New returns a client of the cluster whose nodes have these client addresses, host:port. One reachable node is enough to
// begin with; the others are learned from it. Nothing is dialed before the first call.
func New(endpoints []string, opts ...Option) *Client {
	var o options
	for _, option := range opts {
		option(&o)
	}
	transport, scheme := newTransport(o.tls)
	lifetime, end := context.WithCancel(context.Background())
	endpoints = slices.DeleteFunc(slices.Clone(endpoints), func(e string) bool { return e == "" })
	return &Client{
		route:     newRoute(&http.Client{Transport: clientPorts{transport}}, scheme, endpoints),
		empty:     len(endpoints) == 0,
		transport: transport,
		lifetime:  lifetime,
		end:       end,
	}
}

// Close ends idle connections. Calls under way may finish; later ones fail with [ErrClosed].
func (c *Client) Close() {
	c.closed.Store(true)
	c.end()
	c.transport.CloseIdleConnections()
}

// Put sets key to value and returns the key's version. Each write to a key adds one; a new key starts one above the highest version
// that any deleted key had, so at 1 while nothing was deleted.
func (c *Client) Put(ctx context.Context, key string, value []byte) (version uint64, err error) {
	request := &messages.PutRequest{Key: key, Value: value}
	err = c.call(ctx, key, write, func(ctx context.Context, s *server) error {
		response, err := s.kv.Put(ctx, request)
		version = response.GetVersion()
		return err
	})
	return version, err
}

// Get returns the value of key. The read is linearizable: it sees every write that was acknowledged before the call.
func (c *Client) Get(ctx context.Context, key string) (value []byte, version uint64, found bool, err error) {
	request := &messages.GetRequest{Key: key}
	err = c.call(ctx, key, read, func(ctx context.Context, s *server) error {
		response, err := s.kv.Get(ctx, request)
		value, version, found = response.GetValue(), response.GetVersion(), response.GetFound()
		return err
	})
	return value, version, found, err
}

// Delete removes key and says whether it was there.
func (c *Client) Delete(ctx context.Context, key string) (deleted bool, err error) {
	request := &messages.DeleteRequest{Key: key}
	err = c.call(ctx, key, write, func(ctx context.Context, s *server) error {
		response, err := s.kv.Delete(ctx, request)
		deleted = response.GetDeleted()
		return err
	})
	return deleted, err
}

// CompareAndSwap sets key to new if its value is old; a nil old asks that there be no such key, an empty one that its value be
// empty. The version is the new one after a swap, and otherwise the present one, 0 when there is no such key.
func (c *Client) CompareAndSwap(ctx context.Context, key string, old, new []byte) (swapped bool, version uint64, err error) {
	request := &messages.CompareAndSwapRequest{Key: key, OldValue: old, NewValue: new}
	err = c.call(ctx, key, write, func(ctx context.Context, s *server) error {
		response, err := s.kv.CompareAndSwap(ctx, request)
		swapped, version = response.GetSwapped(), response.GetVersion()
		return err
	})
	return swapped, version, err
}

// Status asks the nodes in turn until one answers, and returns what that node and its peers say of themselves.
func (c *Client) Status(ctx context.Context) (*messages.StatusResponse, error) {
	if err := c.ready(); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	start := time.Now()
	var last error
	var asked *server
	for try := 0; ctx.Err() == nil; try++ {
		s := c.route.any()
		one, cancel := context.WithTimeout(ctx, 2*firstTry<<min(try, 6))
		response, err := s.cluster.Status(one, &messages.StatusRequest{})
		cancel()
		if err == nil {
			s.answered()
			c.learn(response)
			return response, nil
		}
		switch judge(err, false) {
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

// succeeded counts a success. A client that is used more than once learns the other members' addresses in the background, so
// that it can do without the nodes it was given.
func (c *Client) succeeded() {
	if c.successes.Add(1) < 2 {
		return
	}
	now, before := time.Now().UnixNano(), c.learned.Load()
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
