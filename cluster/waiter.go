package cluster

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// defaultTimeout is how long a call waits whose context has no deadline.
const defaultTimeout = 5 * time.Second

// waiter is one call that waits for its answer. Waiters are reused: a server answers a million calls a second, and none of them
// makes a new one.
type waiter struct {
	calls *calls
	// answer has room for the answer, and for an end that comes at the same time.
	answer chan actors.Answer
	errand errand

	mu  sync.Mutex
	ctx context.Context // nil: nobody waits
	due int64           // the tick at which a call without a deadline ends
}

// ended is the error of an answer that is none: the call's time was over.
type ended struct{ cause error }

func (e *ended) Error() string { return e.cause.Error() }

func (e *ended) Unwrap() error { return e.cause }

// do sends an errand and waits for its answer. The waiter must not be used afterwards.
func (w *waiter) do(ctx context.Context, e errand) (actors.Answer, error) {
	calls := w.calls
	w.errand = e
	w.errand.caller = w
	w.errand.send()
	a, err := w.wait(ctx)
	switch {
	case err == nil && a.Err == errMayLook:
		return e.look(ctx, calls, a.Index)
	case err == nil:
		return a, a.Err
	}
	if err, gaveUp := w.errand.giveUp(err); gaveUp {
		return actors.Answer{}, err
	}
	a = <-w.answer // it was on its way
	return a, a.Err
}

const answeredTwice = "a call was answered twice"

// Answer implements actors.Caller. It is called once per use of the waiter, so the channel always has room; a second answer
// would reach somebody else's call.
func (w *waiter) Answer(a actors.Answer) {
	select {
	case w.answer <- a:
	default:
		panic(answeredTwice)
	}
}

// wait returns the answer, or why there was none in time. The waiter must not be used afterwards.
func (w *waiter) wait(ctx context.Context) (actors.Answer, error) {
	w.begin(ctx)
	w.calls.begun(w)
	a := <-w.answer
	if e, none := a.Err.(*ended); none {
		return actors.Answer{}, e.cause // the answer may still come, so no other call may have this waiter
	}
	if w.end() {
		if len(w.answer) > 0 {
			panic(answeredTwice)
		}
		w.calls.idle.Put(w)
	}
	return a, nil
}

func (w *waiter) begin(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.due = ctx, math.MaxInt64
	if _, has := ctx.Deadline(); !has {
		w.due = w.calls.ticks.Load() + int64(defaultTimeout/sweepEvery)
	}
}

// end says whether nothing more comes.
func (w *waiter) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	waited := w.ctx != nil
	w.ctx = nil
	return waited
}

// expire ends the call if its time is over, or because of an error. It says whether somebody waited.
func (w *waiter) expire(now int64, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		return false
	}
	if err == nil {
		err = w.ctx.Err()
	}
	if err == nil && now >= w.due {
		err = errNoAnswer
	}
	if err != nil {
		w.ctx = nil
		w.answer <- actors.Answer{Err: &ended{err}}
	}
	return true
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
