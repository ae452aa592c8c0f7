package clientport

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// room is an amount that all clients share: connections, requests under way, bytes. When it is short, a part whose client has not
// moved for a while makes room for one that does. It is safe for concurrent use.
type room struct {
	size  int64
	share int64 // the most that one owner may hold
	still time.Duration

	mu       sync.Mutex
	free     int64
	holds    list.List // of *hold; who was looked at last is at the end
	queue    list.List // of *queued, first come first
	searched time.Time // when nobody was found
}

func newRoom(size, share int64, still time.Duration) *room {
	return &room{size: size, share: share, still: still, free: size}
}

// queued waits for its turn.
type queued struct {
	hold    *hold
	amount  int64
	granted chan struct{}
}

// enter takes 1, at once or not at all. Who is asked to yield for it goes a little later: so many may be too many for a moment.
func (r *room) enter(h *hold) bool {
	r.mu.Lock()
	var asked []*hold
	if r.free <= 0 {
		if -r.free < max(r.size/4, 1) {
			asked = r.search(1)
		}
		if len(asked) == 0 {
			r.mu.Unlock()
			return false
		}
	}
	r.grant(h, 1)
	r.mu.Unlock()
	r.ask(asked)
	return true
}

// take takes an amount more, and waits for it no longer than patience, or until ctx is done.
func (r *room) take(ctx context.Context, h *hold, amount int64, patience time.Duration) bool {
	r.mu.Lock()
	if r.queue.Len() == 0 && r.fits(h, amount) {
		r.grant(h, amount)
		r.mu.Unlock()
		return true
	}
	if amount > r.share {
		r.mu.Unlock()
		return false
	}
	q := &queued{h, amount, make(chan struct{})}
	place := r.queue.PushBack(q)
	r.serve()
	r.mu.Unlock()

	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(r.still)
	defer again.Stop()
	for {
		r.press(q)
		select {
		case <-q.granted:
			return true
		case <-again.C:
			continue
		case <-ctx.Done():
		case <-end.C:
		}
		return r.leave(q, place)
	}
}

// try takes an amount more at once, unless it is not there or others wait for it.
func (r *room) try(h *hold, amount int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue.Len() > 0 || !r.fits(h, amount) {
		return false
	}
	r.grant(h, amount)
	return true
}

// held is how much a hold has.
func (r *room) held(h *hold) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return h.amount
}

// extend takes an amount more at once, for who holds as much already, whether there is room or not.
func (r *room) extend(h *hold, amount int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grant(h, amount)
}

// leave ends waiting, and says whether the turn came all the same.
func (r *room) leave(q *queued, place *list.Element) (granted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-q.granted:
		return true
	default:
		r.queue.Remove(place)
		r.serve() // it may have stood before others
		return false
	}
}

// keep gives back all but an amount.
func (r *room) keep(h *hold, amount int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	back := h.amount - amount
	if back <= 0 {
		return
	}
	h.amount -= back
	h.owner.held -= back
	r.free += back
	if h.amount == 0 {
		r.holds.Remove(h.place)
		h.place = nil
	}
	r.serve()
}

func (r *room) fits(h *hold, amount int64) bool {
	return amount <= r.free && h.owner.held+amount <= r.share
}

func (r *room) grant(h *hold, amount int64) {
	h.amount += amount
	h.owner.held += amount
	r.free -= amount
	if h.place == nil {
		h.place = r.holds.PushBack(h)
	}
}

// serve lets those in whose turn it is. Who waits for its own owner does not keep others waiting.
func (r *room) serve() {
	var next *list.Element
	for place := r.queue.Front(); place != nil; place = next {
		next = place.Next()
		q := place.Value.(*queued)
		switch {
		case r.fits(q.hold, q.amount):
			r.grant(q.hold, q.amount)
			r.queue.Remove(place)
			close(q.granted)
		case q.hold.owner.held+q.amount <= r.share:
			return
		}
	}
}
