package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// defaultTimeout is how long a call waits whose context has no deadline.
const defaultTimeout = 5 * time.Second

// waiter is one call that waits for its answer. Waiters are reused: a server answers a million calls a second, and none of them
// makes a new one.
type waiter struct {
	answer chan actors.Answer
	errand errand
}

var waiters = sync.Pool{New: func() any { return &waiter{answer: make(chan actors.Answer, 1)} }}

// do sends an errand and waits for its answer. The waiter must not be used afterwards.
func (w *waiter) do(ctx context.Context, e errand, expiry *expiry) (actors.Answer, error) {
	w.errand = e
	w.errand.caller = w
	w.errand.send()
	a, err := w.wait(ctx, expiry)
	if err == nil {
		return a, a.Err
	}
	if err, gaveUp := w.errand.giveUp(err); gaveUp {
		return actors.Answer{}, err
	}
	a = <-w.answer // it was on its way
	return a, a.Err
}

// Answer implements actors.Caller. It is called once per use of the waiter, so the channel always has room; a second answer
// would reach somebody else's call.
func (w *waiter) Answer(a actors.Answer) {
	select {
	case w.answer <- a:
	default:
		panic("a call was answered twice")
	}
}

// wait returns the answer, or why there was none in time. The waiter must not be used afterwards.
func (w *waiter) wait(ctx context.Context, expiry *expiry) (actors.Answer, error) {
	var expired <-chan struct{}
	if _, has := ctx.Deadline(); !has {
		expired = expiry.channel()
	}
	var err error
	select {
	case a := <-w.answer:
		waiters.Put(w)
		return a, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-expired:
		err = expiry.reason()
	}
	select {
	case a := <-w.answer:
		waiters.Put(w)
		return a, nil
	default:
		// The answer may still come, so no other call may have this waiter.
		return actors.Answer{}, err
	}
}

var errNoAnswer = &noAnswerError{}

// noAnswerError is a context.DeadlineExceeded of our own making.
type noAnswerError struct{}

func (*noAnswerError) Error() string {
	return "no answer within " + defaultTimeout.String() + ": most of the group's members may be out of reach"
}

func (*noAnswerError) Is(target error) bool { return target == context.DeadlineExceeded }

// unknownError is the error of a command whose caller stopped waiting.
type unknownError struct{ cause error }

func (e *unknownError) Error() string {
	return actors.ErrOutcomeUnknown.Error() + " (" + e.cause.Error() + ")"
}

func (e *unknownError) Unwrap() []error { return []error{actors.ErrOutcomeUnknown, e.cause} }

// expiry hands out channels that close about defaultTimeout later, one for all calls of the same tick: a timer per call
// would cost more than the rest of the call.
type expiry struct {
	current atomic.Pointer[chan struct{}]
	stopped chan struct{}
	once    sync.Once
}

const expiryTick = 250 * time.Millisecond

func newExpiry() *expiry {
	e := &expiry{stopped: make(chan struct{})}
	first := make(chan struct{})
	e.current.Store(&first)
	go e.run(first)
	return e
}

func (e *expiry) channel() <-chan struct{} { return *e.current.Load() }

func (e *expiry) run(newest chan struct{}) {
	ticker := time.NewTicker(expiryTick)
	defer ticker.Stop()
	waiting := []chan struct{}{newest}
	for {
		select {
		case <-ticker.C:
		case <-e.stopped:
			for _, c := range waiting {
				close(c)
			}
			return
		}
		if len(waiting) > int(defaultTimeout/expiryTick) {
			close(waiting[0])
			waiting = append(waiting[:0], waiting[1:]...)
		}
		next := make(chan struct{})
		e.current.Store(&next)
		waiting = append(waiting, next)
	}
}

// reason is why a call expired: its time was over, or the node stopped.
func (e *expiry) reason() error {
	select {
	case <-e.stopped:
		return actors.ErrClosed
	default:
		return errNoAnswer
	}
}

// stop lets every waiting call expire now, and later ones at once.
func (e *expiry) stop() { e.once.Do(func() { close(e.stopped) }) }
