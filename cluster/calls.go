package cluster

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/troupe-raft/troupe/actors"
)

// calls are those of a node's callers that wait for an answer. A call waits for nothing else: to wait for an answer, a context and a timer
// at a time takes the locks of three channels, some of which all calls share. One goroutine looks through the calls instead, as long as
// there are any, and ends those whose time is over.
type calls struct {
	idle sync.Pool // of *waiter

	mu      sync.Mutex
	waiters []weak.Pointer[waiter] // all that are in use or idle

	ticks   atomic.Int64 // how often the calls were looked through
	watched atomic.Int32 // by nobody, and so on
	wake    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

// Who looks through the calls.
const (
	nobody int32 = iota
	goroutine
	itself // the node stops: a call ends as it begins
)

// sweepEvery is how much later than it should a call may end.
const sweepEvery = 10 * time.Millisecond

// restAfter is after how many looks that found nobody the next call has to wake who looks.
const restAfter = 100

func newCalls() *calls {
	c := &calls{wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go c.run()
	return c
}

// waiter is one for a call to come.
func (c *calls) waiter() *waiter {
	if w, ok := c.idle.Get().(*waiter); ok {
		return w
	}
	w := &waiter{calls: c, answer: make(chan actors.Answer, 2)}
	c.mu.Lock()
	c.waiters = append(c.waiters, weak.Make(w))
	c.mu.Unlock()
	return w
}

func (c *calls) run() {
	for {
		select {
		case <-c.wake:
			c.watch()
		case <-c.stopped:
			c.watched.Store(itself)
			c.sweep(actors.ErrClosed)
			return
		}
	}
}

// watch looks through the calls until there are none for a while.
func (c *calls) watch() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		for quiet := 0; quiet < restAfter; quiet++ {
			select {
			case <-ticker.C:
			case <-c.stopped:
				return
			}
			c.ticks.Add(1)
			if c.sweep(nil) {
				quiet = 0
			}
		}
		c.watched.CompareAndSwap(goroutine, nobody)
		if !c.sweep(nil) || !c.watched.CompareAndSwap(nobody, goroutine) {
			return // a call that began since wakes it again
		}
	}
}

// sweep ends the calls whose time is over, all of them if there is an error. It says whether there were any.
func (c *calls) sweep(err error) (found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.ticks.Load()
	c.waiters = slices.DeleteFunc(c.waiters, func(p weak.Pointer[waiter]) bool {
		w := p.Value()
		if w == nil {
			return true
		}
		found = w.expire(now, err) || found
		return false
	})
	return found
}

// begun is told by a call that it waits from now on.
func (c *calls) begun(w *waiter) {
	switch {
	case c.watched.Load() == goroutine:
	case c.watched.CompareAndSwap(nobody, goroutine):
		c.wake <- struct{}{}
	case c.watched.Load() == itself:
		w.expire(0, actors.ErrClosed)
	}
}

// stop lets every waiting call end now, and later ones at once.
func (c *calls) stop() { c.once.Do(func() { close(c.stopped) }) }
