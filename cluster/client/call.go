package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

const (
	// firstTry is how long the first try of a read may take; each further try may take twice as long.
	firstTry = 500 * time.Millisecond
	// firstProbe is how long a server may take to begin to answer a stream. Nothing else is sent to it before: a write that is never sent
	// to a hanging server has no unknown outcome.
	firstProbe = 300 * time.Millisecond
	// Pauses between tries.
	firstPause, maxPause = 5 * time.Millisecond, 100 * time.Millisecond
	// Nothing is repeated in the last moment: a write's outcome would most likely stay unknown.
	lastMoment = 20 * time.Millisecond
	// maxFollow is how many times in a row a hint to the leader is followed without a pause.
	maxFollow = 3
)

// verdict is what an error says about a request.
type verdict int

const (
	done      verdict = iota
	moved             // not done: the server does not lead
	busy              // not done: the server has too much to do, ask it again later
	refused           // not done: try others first
	silent            // not done, or a read that may be repeated: try others first
	unknown           // a write that may have been done
	wrong             // not done, and never will be
	stranger          // not done: this is no client port that this client can speak to
	missing           // not done: there is no such session
	elsewhere         // not done: the server has no such group, others may
	forgotten         // done, and the answer was not kept
)

// call asks servers until one does it, or the context is done, with requests that may be repeated.
func (c *Client) call(ctx context.Context, ask func(context.Context, *server) error) error {
	return c.repeat(ctx, firstTry, ask)
}

// repeat is call with the time that the first try may take.
func (c *Client) repeat(ctx context.Context, first time.Duration, ask func(context.Context, *server) error) error {
	if err := c.ready(); err != nil {
		return err
	}
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	start := time.Now()
	var last error
	var asked *server
	follow := 0
	for try := 0; ; try++ {
		if ctx.Err() != nil {
			return unavailable(ctx, time.Since(start), addressOf(asked), last)
		}
		s := c.route.pick()
		err := once(ctx, first<<min(try, 6), s, ask)
		v := judge(err)
		if err != nil && tellsMore(ctx, err, last) {
			last, asked = err, s
		}
		switch v {
		case done:
			c.route.leads(s)
			c.succeeded(s)
			return nil
		case wrong:
			return invalid(err)
		case stranger:
			if !c.route.avoid(s) {
				return hopeless(err)
			}
		case silent:
			c.route.failed(s, suspectSilent)
		case refused:
			c.route.failed(s, suspectRefused)
		case moved:
			leader, suspect := c.route.redirected(s, leaderHint(err))
			if leader != nil && follow < maxFollow {
				follow++
				continue
			}
			c.recheck(suspect)
		}
		follow = 0
		rest(ctx, try, retryAfter(err))
	}
}

// tellsMore says whether err tells the caller more than last. An error that a server sent tells more than one about a server that is not
// there. An error that only says that time is up tells less than any.
func tellsMore(ctx context.Context, err, last error) bool {
	return last == nil || ctx.Err() == nil && (connect.IsWireError(err) || !connect.IsWireError(last))
}

// once makes one try.
func once(ctx context.Context, limit time.Duration, s *server, ask func(context.Context, *server) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := ask(ctx, s)
	if err == nil || connect.IsWireError(err) {
		s.answered()
	}
	return err
}

// probe asks for a sign of life.
func probe(ctx context.Context, s *server, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := s.cluster.Status(ctx, &messages.StatusRequest{Local: true})
	if err == nil || connect.IsWireError(err) {
		s.answered()
		return nil
	}
	return err
}

// recheck asks a suspect in the background whether it lives: one slow answer must not keep the client from the leader.
func (c *Client) recheck(s *server) {
	if s == nil || !s.probing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.probing.Store(false)
		if probe(c.lifetime, s, suspectSilent) == nil {
			c.route.lives(s)
		}
	}()
}

// judge says what an error means for a request that may be repeated.
func judge(err error) verdict {
	if err == nil {
		return done
	}
	var dial *dialError
	if errors.As(err, &dial) {
		return refused
	}
	var peerPort *peerPortError
	if errors.As(err, &peerPort) {
		return stranger
	}
	var secure *tlsError
	if errors.As(err, &secure) {
		return stranger
	}
	if connect.IsWireError(err) { // the server itself said so
		switch connect.CodeOf(err) {
		case connect.CodeFailedPrecondition:
			return moved
		case connect.CodeResourceExhausted:
			return busy
		case connect.CodeUnavailable:
			return refused
		case connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodeOutOfRange,
			connect.CodeNotFound, connect.CodeUnauthenticated, connect.CodePermissionDenied:
			return wrong
		}
	}
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return refused // HTTP 404: a node that is starting does not serve the map yet
	}
	return silent
}

// leaderHint is the client address in an error's NotLeader detail, or "".
func leaderHint(err error) string {
	return detailOf[*messages.NotLeader](err).GetClientAddress()
}

// detailOf is an error's detail of that type, or nil.
func detailOf[M proto.Message](err error) (none M) {
	var e *connect.Error
	if !errors.As(err, &e) {
		return none
	}
	for _, detail := range e.Details() {
		if value, err := detail.Value(); err == nil {
			if m, ok := value.(M); ok {
				return m
			}
		}
	}
	return none
}

func (c *Client) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.options.timeout)
}

// left is the time until the deadline.
func left(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

// pause waits, longer with each try. The time is random, so that clients do not all try at once.
func pause(ctx context.Context, try int) {
	limit := min(firstPause<<min(try, 10), maxPause)
	wait(ctx, limit/2+rand.N(limit/2))
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 || ctx.Err() != nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func addressOf(s *server) string {
	if s == nil {
		return ""
	}
	return s.address
}
