package simulation

import (
	"errors"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// request is an operator's, for a snapshot of what a node has applied.
type request struct {
	n           *node
	g           int
	incarnation int
	called      time.Duration
	since       uint64 // what the node had applied
}

const requestsEach = 500 * time.Millisecond

// startRequests lets operators ask for snapshots, again and again.
func (w *world) startRequests() {
	w.after(w.between(0, 2*requestsEach), func() {
		if !w.chaos {
			return
		}
		w.startRequests()
		if n := w.someone(); n.up && len(n.doors) == w.options.Groups {
			g := w.rng.IntN(w.options.Groups)
			r := &request{n, g, n.incarnation, w.now, n.machines[g].applied}
			w.history.requests[r] = true
			n.doors[g].Snapshot(r)
		}
	})
}

// Snapshot is called by the actors.
func (r *request) Snapshot(s *messages.Snapshot, err error) {
	w := r.n.w
	if !w.history.requests[r] {
		w.fail("who asks for a snapshot is answered once", "%s, again, with %v %v", r.n.id, s, err)
	}
	delete(w.history.requests, r)
	switch {
	case err == nil && s.LastIncludedIndex < r.since:
		w.fail("a snapshot has all that was applied when it was asked for", "%s had applied %d: %v", r.n.id, r.since, s)
	case err != nil && errors.Is(err, actors.ErrOutcomeUnknown):
		w.fail("who asks for a snapshot learns why there is none", "%s: %v", r.n.id, err)
	}
}

// unansweredRequest is one that a running server owes an answer; nil: none.
func (h *history) unansweredRequest() *request {
	for r := range h.requests {
		if r.n.up && r.n.incarnation == r.incarnation {
			return r
		}
	}
	return nil
}
