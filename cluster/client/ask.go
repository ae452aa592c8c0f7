package client

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
)

// request is what a caller wants done, however many copies of it are sent.
type request interface {
	// next returns a copy to send, or why there can be none.
	next(ctx context.Context) (*call, error)
	// settle takes what became of the last copy, and says whether the request is over, and with what error.
	settle(o outcome) (over bool, err error)
	// giveUp ends the request. unknown says that it may still be done.
	giveUp() (unknown bool)
}

// outcome is what became of one copy of a request.
type outcome struct {
	verdict verdict
	answer  answered // if the verdict is done
	err     error    // if it is not
	// sent is false when the copy has certainly not left.
	sent bool
	from *server
}

// ask sends copies of a request to one server after the other until one does it, or the context is done. No copy is sent while the
// stream that has the last one lives.
func (c *Client) ask(ctx context.Context, r request) error {
	if err := c.ready(); err != nil {
		return err
	}
	start := time.Now()
	if _, ok := ctx.Deadline(); !ok {
		l := &limited{Context: ctx, deadline: start.Add(c.options.timeout)}
		defer l.end()
		ctx = l
	}
	if err := c.flight.enter(ctx); err != nil {
		return err
	}
	defer c.flight.leave()
	return c.try(ctx, r, start)
}

// try is ask for a context with a deadline, however many calls are in flight.
func (c *Client) try(ctx context.Context, r request, start time.Time) error {
	var last error
	var asked *server
	var without []*server // the group
	follow := 0
	for try := 0; ; try++ {
		if untimed(ctx).Err() != nil || try > 0 && left(ctx) < lastMoment { // the first try costs no look at the clock
			return c.gaveUp(ctx, r, start, asked, last)
		}
		copy, err := r.next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			return c.gaveUp(ctx, r, start, asked, err)
		}
		s := c.route.pick()
		o := c.send(ctx, s, copy)
		o.from = s
		if o.err != nil && tellsMore(ctx, o.err, last) {
			last, asked = o.err, s
		}
		if over, err := r.settle(o); over {
			if o.verdict == done {
				c.route.serves(s)
				c.succeeded(s)
			}
			return err
		}
		if o.verdict == elsewhere {
			if !slices.Contains(without, s) {
				without = append(without, s)
			}
			if c.route.passOver(s, without) {
				return gaveUpFor(r, s, refusedFor(o))
			}
		}
		if again, err := c.reroute(ctx, s, o, follow); err != nil {
			return gaveUpFor(r, s, err)
		} else if again {
			follow++
			continue
		}
		follow = 0
		rest(ctx, try, retryAfter(o.err))
	}
}

// gaveUp is the error of a request whose time is over.
func (c *Client) gaveUp(ctx context.Context, r request, start time.Time, asked *server, last error) error {
	if r.giveUp() {
		if last == nil {
			last = ctx.Err()
		}
		return outcomeUnknown(addressOf(asked), last)
	}
	return unavailable(ctx, time.Since(start), addressOf(asked), last)
}

// gaveUpFor is the error of a request that cannot go on, because of err.
func gaveUpFor(r request, s *server, err error) error {
	if r.giveUp() {
		return outcomeUnknown(s.address, err)
	}
	return err
}

// reroute notes what an outcome says about a server. again says that another one is to be asked without a pause.
func (c *Client) reroute(ctx context.Context, s *server, o outcome, follow int) (again bool, err error) {
	switch o.verdict {
	case stranger:
		if !c.route.avoid(s) {
			return false, hopeless(o.err)
		}
	case silent, unknown:
		var own *refusal
		if ctx.Err() == nil && left(ctx) > 0 && !errors.As(o.err, &own) { // its stream broke, in time
			c.route.failed(s, suspectSilent)
		}
	case refused:
		c.route.failed(s, suspectRefused)
	case moved:
		leader, suspect := c.route.redirected(s, hintOf(o.err))
		c.recheck(suspect)
		return leader != nil && follow < maxFollow, nil
	}
	return false, nil
}

// timeToExplain is for a server to see that a call's time is over, and to say so.
const timeToExplain = 50 * time.Millisecond

// send sends one copy, and waits for what becomes of it.
func (c *Client) send(ctx context.Context, s *server, copy *call) outcome {
	ended := untimed(ctx)
	copy.ctx = ended
	copy.deadline, _ = ctx.Deadline()
	remaining := time.Until(copy.deadline)
	if remaining <= 0 {
		return outcome{verdict: silent, err: context.DeadlineExceeded}
	}
	told := remaining
	if copy.explained {
		told = max(remaining-timeToExplain, remaining/2)
	}
	copy.timeoutMs = uint32(min(told.Milliseconds()+1, 1<<31))
	x := c.streams.to(s)
	if err := x.add(copy); err != nil {
		return judgeReply(reply{err: err})
	}
	r := copy.wait()
	if err := ended.Err(); r.err != nil && err != nil {
		return outcome{verdict: silent, err: err, sent: r.sent}
	}
	return judgeReply(r)
}

// led follows a server that says who leads.
func (c *Client) led(s *server, address string) { c.recheck(c.route.told(s, address)) }

// refusal is a server's own word that a call failed.
type refusal struct {
	wire *connect.Error
	call *messages.CallError
}

func (r *refusal) Error() string { return r.wire.Message() }
func (r *refusal) Unwrap() error { return r.wire }

func judgeReply(r reply) outcome {
	if r.err != nil {
		return outcome{verdict: judgeBroken(r), err: r.err, sent: r.sent}
	}
	e := r.answer.other.GetError()
	if e == nil {
		return outcome{verdict: done, answer: r.answer, sent: true}
	}
	var code connect.Code
	if code.UnmarshalText([]byte(e.Code)) != nil {
		code = connect.CodeUnknown
	}
	err := &refusal{connect.NewWireError(code, errors.New(e.Message)), e}
	return outcome{verdict: judgeRefusal(code, e), err: err, sent: true}
}

// judgeBroken is for calls whose stream ended.
func judgeBroken(r reply) verdict {
	switch {
	case r.sent:
		return silent
	case errors.Is(r.err, io.EOF):
		return refused
	}
	switch v := judge(r.err); v {
	case wrong:
		return refused // the stream was refused, not the request
	default:
		return v
	}
}

func judgeRefusal(code connect.Code, e *messages.CallError) verdict {
	if e.OutcomeUnknown != nil {
		return unknown
	}
	switch code {
	case connect.CodeFailedPrecondition:
		return moved
	case connect.CodeResourceExhausted:
		return busy
	case connect.CodeUnavailable:
		return refused
	case connect.CodeNotFound:
		if e.NotLeader != nil {
			return elsewhere
		}
		return missing
	case connect.CodeDataLoss:
		return forgotten
	case connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodeOutOfRange, connect.CodeUnauthenticated,
		connect.CodePermissionDenied, connect.CodeUnknown: // unknown is what a state machine's own refusal of a query has
		return wrong
	}
	return silent
}

func hintOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.call.GetNotLeader().GetClientAddress()
	}
	return leaderHint(err)
}

// retryAfter is how long a server wants to be left alone.
func retryAfter(err error) time.Duration {
	detail := detailOf[*messages.RetryAfter](err)
	var r *refusal
	if errors.As(err, &r) {
		detail = r.call.GetRetryAfter()
	}
	return min(time.Duration(detail.GetMilliseconds())*time.Millisecond, time.Minute)
}

// rest is a pause that is at least so long.
func rest(ctx context.Context, try int, least time.Duration) {
	wait(ctx, least)
	pause(ctx, try)
}
