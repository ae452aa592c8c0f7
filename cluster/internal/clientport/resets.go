package clientport

import (
	"sync"
	"time"
)

// resets counts the requests that a client takes back before they are answered: they cost it nothing.
type resets struct {
	mu   sync.Mutex
	debt float64
	last time.Time
}

// A client may take back so many requests a second, and so many at once: all of its own, when the node does not answer in time.
const (
	resetRate  = 1000
	resetBurst = 4096
)

// tooMany counts one more.
func (r *resets) tooMany() bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.debt = max(0, r.debt-resetRate*now.Sub(r.last).Seconds()) + 1
	r.last = now
	return r.debt > resetBurst
}
