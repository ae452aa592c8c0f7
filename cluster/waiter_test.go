package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// newTestCalls end with the test.
func newTestCalls(t testing.TB) *calls {
	c := newCalls()
	t.Cleanup(c.stop)
	return c
}

func TestACallEndsWithItsTime(t *testing.T) {
	c := newTestCalls(t)
	w := c.waiter()
	w.begin(t.Context())
	if w.expire(w.due-1, nil); len(w.answer) > 0 {
		t.Error("it ends early")
	}
	w.expire(w.due, nil)
	if a := <-w.answer; !errors.Is(a.Err, context.DeadlineExceeded) || len(w.answer) > 0 {
		t.Error("without a deadline:", a.Err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.waiter().wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("with a deadline:", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go cancel()
	if _, err := c.waiter().wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error("cancelled:", err)
	}
}

func TestCallsEndWhenTheNodeStops(t *testing.T) {
	c := newCalls()
	ends := make(chan error, 20)
	for range cap(ends) / 2 {
		go func() { _, err := c.waiter().wait(t.Context()); ends <- err }()
	}
	go c.stop()
	c.stop()
	for range cap(ends) / 2 {
		go func() { _, err := c.waiter().wait(t.Context()); ends <- err }()
	}
	for range cap(ends) {
		select {
		case err := <-ends:
			if !errors.Is(err, actors.ErrClosed) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call goes on in a node that stopped")
		}
	}
}

// Who looks through the calls rests when there are none, and is woken by the next.
func TestNobodyLooksWhileNobodyCalls(t *testing.T) {
	c := newTestCalls(t)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := c.waiter().wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
		for late := time.Now().Add(20 * time.Second); c.watched.Load() != nobody; time.Sleep(sweepEvery) {
			if time.Now().After(late) {
				t.Fatal("somebody looks through the calls, and there are none")
			}
		}
	}
}

func TestWaiterPrefersAnAnswer(t *testing.T) {
	c := newCalls()
	c.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		w := c.waiter()
		w.Answer(actors.Answer{Index: 7})
		a, err := w.wait(ctx)
		if err != nil || a.Index != 7 {
			t.Fatalf("%v %v", a, err)
		}
	}
}

func TestWaiterThatGaveUpIsNotReused(t *testing.T) {
	c := newTestCalls(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := c.waiter()
	if _, err := w.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.Answer(actors.Answer{Index: 1}) // the late answer has a place
	for range 1000 {
		other := c.waiter()
		if other == w {
			t.Fatal("a waiter that may get a late answer is in the pool")
		}
	}
}

// Calls that are answered when their time is over get their own answer or none, and no later call gets it.
func TestCallsGetTheirOwnAnswers(t *testing.T) {
	c := newTestCalls(t)
	var all sync.WaitGroup
	var answered, gaveUp atomic.Int64
	for caller := range uint64(64) {
		all.Go(func() {
			for i := range uint64(50) {
				ctx, cancel := context.WithCancel(t.Context())
				w, index := c.waiter(), caller<<32|i
				all.Go(func() { w.Answer(actors.Answer{Index: index}) })
				if i%2 == 0 {
					cancel()
				}
				a, err := w.wait(ctx)
				cancel()
				switch {
				case err != nil:
					gaveUp.Add(1)
				case a.Index != index:
					t.Errorf("call %d got the answer of %d", index, a.Index)
				default:
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d were answered, %d gave up", answered.Load(), gaveUp.Load())
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
	c := newTestCalls(b)
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
		"no deadline": func(w *waiter) error { _, err := w.wait(context.Background()); return err },
		"deadline":    func(w *waiter) error { _, err := w.wait(withDeadline); return err },
		"timer each": func(w *waiter) error {
			timer := time.NewTimer(5 * time.Second)
			defer timer.Stop()
			select {
			case <-w.answer:
				c.idle.Put(w)
				return nil
			case <-timer.C:
				return context.DeadlineExceeded
			}
		},
		"context each": func(w *waiter) error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := w.wait(ctx)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(512)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w := c.waiter()
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
