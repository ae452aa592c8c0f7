package cluster

import "sync"

// workers are goroutines that are used again, for the mailboxes of a node and for its journal's writes. Proto.Actor starts a new
// goroutine for every wake-up of a mailbox; growing their small stacks took a quarter of the time.
type workers struct {
	mu     sync.Mutex
	idle   []chan func() // the one that was busy last is the first to be used again
	closed bool
}

// maxIdleWorkers bounds what a burst leaves behind.
const maxIdleWorkers = 256

// run runs f soon. It does not block; f may.
func (w *workers) run(f func()) {
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

func (w *workers) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
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

// close ends the workers as they become idle. What comes later runs all the same.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
