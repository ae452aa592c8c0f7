package cluster

import (
	"runtime"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// workers run the mailboxes of a node, and its journal's writes, on goroutines that are used again. Proto.Actor starts a new
// goroutine for every wake-up of a mailbox; growing their small stacks took a quarter of the time.
type workers struct {
	mu     sync.Mutex
	idle   []chan func() // the one that was busy last is the first to be used again
	closed bool
}

var _ actor.Dispatcher = (*workers)(nil)

// maxIdleWorkers bounds what a burst leaves behind.
const maxIdleWorkers = 256

// Schedule runs f soon. It does not block.
func (w *workers) Schedule(f func()) {
	w.mu.Lock()
	last := len(w.idle) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.work(f)
		return
	}
	next := w.idle[last]
	w.idle = w.idle[:last]
	w.mu.Unlock()
	next <- f
}

// Throughput is how many messages a mailbox handles before others get a turn: Proto.Actor's own number.
func (w *workers) Throughput() int { return 300 }

func (w *workers) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		runtime.Gosched() // who wakes a mailbox has more for it, as a rule: they are handled together
		f()
		if !w.rest(next) {
			return
		}
		f = <-next
	}
}

// rest says whether the worker is to wait for more.
func (w *workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) == maxIdleWorkers {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// close ends the workers as they become idle. What is scheduled later runs all the same.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
