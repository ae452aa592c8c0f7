package clientport

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
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

// searchPause is between two searches that find nobody, since they look at every hold.
const searchPause = 10 * time.Millisecond

func newRoom(size, share int64, still time.Duration) *room {
	return &room{size: size, share: share, still: still, free: size}
}

// owner is who holds one or several parts of a room, whose mutex guards it.
type owner struct {
	held     int64
	searched time.Time // as in room
}

// hold is a part of a room. The zero value holds nothing.
type hold struct {
	owner *owner
	pace  *pace
	// yield asks whoever has the hold to give it back soon, and says why. It is false when that was not the time to ask. It is called
	// from any goroutine, and returns soon.
	yield func(reason error) bool

	amount  int64
	place   *list.Element
	yielded bool
}

// pace says how a client gets on with what it holds room for. It is safe for concurrent use.
type pace struct {
	moved atomic.Int64 // when, in nanoseconds since 1970
	due   atomic.Int64 // when the client is to be done; 0: no matter when
	busy  atomic.Int32 // more than 0: it is not the client that is waited for
}

func (p *pace) still(now time.Time, d time.Duration) bool {
	return p.busy.Load() <= 0 && now.UnixNano()-p.moved.Load() >= int64(d)
}

func (p *pace) late(now time.Time) bool {
	due := p.due.Load()
	return p.busy.Load() <= 0 && due != 0 && now.UnixNano() >= due
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

// press asks those that are still to yield what q waits for. Who holds its share already has only itself to ask.
func (r *room) press(q *queued) {
	r.mu.Lock()
	var asked []*hold
	select {
	case <-q.granted:
	default:
		if q.hold.owner.held+q.amount > r.share {
			asked = r.searchOwn(q.amount, q.hold.owner)
		} else {
			asked = r.search(q.amount)
		}
	}
	r.mu.Unlock()
	r.ask(asked)
}

// search finds holds that are still, until they have the amount together.
func (r *room) search(amount int64) []*hold {
	return r.find(amount, &r.searched, func(h *hold, now time.Time) bool { return h.pace.still(now, r.still) })
}

// ownPatience is how much longer an owner's parts may stand still when it is the owner itself that wants more: they take turns on one
// connection.
const ownPatience = 4

// searchOwn is search among one owner's.
func (r *room) searchOwn(amount int64, of *owner) []*hold {
	return r.find(amount, &of.searched, func(h *hold, now time.Time) bool { return h.owner == of && h.pace.still(now, ownPatience*r.still) })
}

func (r *room) find(amount int64, searched *time.Time, wanted func(*hold, time.Time) bool) (found []*hold) {
	now := time.Now()
	if now.Sub(*searched) < searchPause {
		return nil
	}
	for range r.holds.Len() {
		place := r.holds.Front()
		r.holds.MoveToBack(place)
		h := place.Value.(*hold)
		if h.yielded || !wanted(h, now) {
			continue
		}
		h.yielded = true
		found = append(found, h)
		if amount -= h.amount; amount <= 0 {
			return found
		}
	}
	if len(found) == 0 {
		*searched = now
	}
	return found
}

var errOverloaded = errors.New("the node is overloaded, and this client kept others waiting: try again")

// ask asks holds to yield. Whoever could not be asked now may be found again.
func (r *room) ask(holds []*hold) {
	for _, h := range holds {
		if !h.yield(connect.NewError(connect.CodeResourceExhausted, errOverloaded)) {
			r.mu.Lock()
			h.yielded = false
			r.mu.Unlock()
		}
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

// late are the holds whose clients should be done by now.
func (r *room) late(now time.Time) (found []*hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for place := r.holds.Front(); place != nil; place = place.Next() {
		if h := place.Value.(*hold); h.pace.late(now) {
			found = append(found, h)
		}
	}
	return found
}
