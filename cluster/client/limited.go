package client

import (
	"context"
	"time"
)

// limited gives a context a deadline, whose timer begins when somebody waits for it. Most calls do not: they are answered by a stream,
// which keeps their deadlines itself. It belongs to one goroutine.
type limited struct {
	context.Context
	deadline time.Time
	timed    context.Context // nil: nobody waited yet
	cancel   context.CancelFunc
}

func (l *limited) Deadline() (time.Time, bool) { return l.deadline, true }

func (l *limited) Done() <-chan struct{} {
	if l.timed == nil {
		l.timed, l.cancel = context.WithDeadline(l.Context, l.deadline)
	}
	return l.timed.Done()
}

func (l *limited) Err() error {
	if err := l.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(l.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// end ends the timer.
func (l *limited) end() {
	if l.timed != nil {
		l.cancel()
	}
}

// untimed is a context as its caller gave it.
func untimed(ctx context.Context) context.Context {
	if l, ok := ctx.(*limited); ok {
		return l.Context
	}
	return ctx
}
