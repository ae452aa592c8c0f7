package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

func TestExpiryChannelsCloseLateAndAllAtStop(t *testing.T) {
	e := newExpiry()
	c := e.channel()
	select {
	case <-c:
		t.Fatal("a channel closed at once")
	case <-time.After(2 * expiryTick):
	}
	if e.channel() == c {
		t.Fatal("the same channel after two ticks")
	}
	if !errors.Is(e.reason(), context.DeadlineExceeded) {
		t.Error(e.reason())
	}
	e.stop()
	e.stop()
	if !errors.Is(e.reason(), actors.ErrClosed) {
		t.Error("who expires because the node stops is told that it takes too long:", e.reason())
	}
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("a channel is open after stop")
	}
	select {
	case <-e.channel():
	case <-time.After(10 * time.Second):
		t.Fatal("a new channel is open after stop")
	}
}

func TestWaiterPrefersAnAnswer(t *testing.T) {
	e := newExpiry()
	e.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		w := waiters.Get().(*waiter)
		w.Answer(actors.Answer{Index: 7})
		a, err := w.wait(ctx, e)
		if err != nil || a.Index != 7 {
			t.Fatalf("%v %v", a, err)
		}
	}
}

func TestWaiterThatGaveUpIsNotReused(t *testing.T) {
	e := newExpiry()
	defer e.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := waiters.Get().(*waiter)
	if _, err := w.wait(ctx, e); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.Answer(actors.Answer{Index: 1}) // the late answer has a place
	for range 1000 {
		other := waiters.Get().(*waiter)
		if other == w {
			t.Fatal("a waiter that may get a late answer is in the pool")
		}
	}
}

func TestUnknownErrorIsAlsoTheContexts(t *testing.T) {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		err := error(&unknownError{cause})
		if !errors.Is(err, actors.ErrOutcomeUnknown) || !errors.Is(err, cause) {
			t.Fatal(err)
		}
	}
	if !errors.Is(&unknownError{errNoAnswer}, context.DeadlineExceeded) {
		t.Fatal("no answer within the default deadline is a context.DeadlineExceeded")
	}
}

// BenchmarkWait is the cost of waiting itself, with 1024 waiting at a time as in a busy node.
func BenchmarkWait(b *testing.B) {
	e := newExpiry()
	defer e.stop()
	queue := make(chan *waiter, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w := range queue {
			w.Answer(actors.Answer{})
		}
	}()
	withDeadline, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for name, wait := range map[string]func(*waiter) error{
		"shared tick": func(w *waiter) error { _, err := w.wait(context.Background(), e); return err },
		"deadline":    func(w *waiter) error { _, err := w.wait(withDeadline, e); return err },
		"timer each": func(w *waiter) error {
			timer := time.NewTimer(5 * time.Second)
			defer timer.Stop()
			select {
			case <-w.answer:
				waiters.Put(w)
				return nil
			case <-timer.C:
				return context.DeadlineExceeded
			}
		},
		"context each": func(w *waiter) error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := w.wait(ctx, e)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(512)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w := waiters.Get().(*waiter)
					queue <- w
					if err := wait(w); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	close(queue)
	<-done
}
