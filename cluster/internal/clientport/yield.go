package clientport

import (
	"time"
)

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

// searchPause is between two searches that find nobody, since they look at every hold.
const searchPause = 10 * time.Millisecond

// search finds holds that are still, until they have the amount together.
func (r *room) search(amount int64) []*hold {
	return r.find(amount, &r.searched, func(h *hold, now time.Time) bool { return h.pace.still(now, r.still) })
}

// ownPatience is how much longer an owner's parts may stand still when it is the owner itself that wants more: they take turns on one
// connection.
const ownPatience = 4

// searchOwn is search among one owner's.
func (r *room) searchOwn(amount int64, of *owner) []*hold {
	return r.find(amount, &of.searched, func(h *hold, now time.Time) bool {
		return h.owner == of && h.pace.still(now, ownPatience*r.still)
	})
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
		if h.asked || !wanted(h, now) {
			continue
		}
		h.asked = true
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

var errOverloaded = &overload{"the node is overloaded, and this client kept others waiting: try again"}

// ask asks holds to yield. Whoever could not be asked now may be found again.
func (r *room) ask(holds []*hold) {
	for _, h := range holds {
		if !h.yield(RPCError(errOverloaded)) {
			r.mu.Lock()
			h.asked = false
			r.mu.Unlock()
		}
	}
}

// late are the holds whose clients should be done by now.
func (r *room) late(now time.Time) (found []*hold) {
	return r.those(func(h *hold) bool { return h.pace.late(now) })
}

func (r *room) all() []*hold {
	return r.those(func(*hold) bool { return true })
}

func (r *room) those(wanted func(*hold) bool) (found []*hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for place := r.holds.Front(); place != nil; place = place.Next() {
		if h := place.Value.(*hold); wanted(h) {
			found = append(found, h)
		}
	}
	return found
}
