package simulation

import (
	"slices"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// handOver asks some node, mostly a leader, to hand over to another, or to the best.
func (w *world) handOver() {
	n, g := w.someone(), w.rng.IntN(w.options.Groups)
	if l := w.leaderOf(g); l != nil && w.chance(0.8) {
		n = l
	}
	to := ""
	if w.chance(0.7) {
		to = w.someone().id
	}
	if !n.up || len(n.doors) != w.options.Groups {
		return
	}
	w.hit(Transfer)
	w.note("%s is asked to hand over to %q", n.id, to)
	n.doors[g].HandOver(to, w.ask(n, g, "to hand over", nil, func(a actors.Answer) {
		w.note("%s is asked no more to hand over: %v", n.id, a.Err)
	}))
}

// asksToStand: the target has all of the leader's log, on its disk (thesis 3.10).
func (w *world) asksToStand(n *node, m *messages.TimeoutNow) {
	g, to := groupNumber(m.Header.Group), w.nodes[w.placeOf(m.Header.To)]
	log, gone := &n.seen[g].log, to.gone(m.Header.ToStoreId)
	if last := log.last(); last > log.before && !gone && !to.disk.groups[g].hadIn(m.Header.Term, last, log.at(last)) {
		w.fail("a leader hands over to who has all of its log, durably", "%s in term %d asks %s, which lacks entry %d%s",
			n.id, m.Header.Term, m.Header.To, last, w.describe())
	}
}

// askedToStand notes which terms' leaders asked a node to stand.
func (w *world) askedToStand(n *node, g int, h *messages.Header) {
	if w.truth[g].leaders[h.Term] == h.From {
		n.seen[g].asked = append(n.seen[g].asked, h.Term)
	}
}

// mayStand: who stands without a pre-vote was asked to by the leader of the term before.
func (w *world) mayStand(n *node, g int, m *messages.RequestVote) {
	if !slices.Contains(n.seen[g].asked, m.Header.Term-1) {
		w.fail("who stands for a leader that hands over was asked to", "%s in term %d, asked in %v", n.id, m.Header.Term, n.seen[g].asked)
	}
}
