package simulation

import (
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-raft/troupe/actors"
)

// heal ends all faults.
func (w *world) heal() {
	w.chaos = false
	w.note("all faults end")
	clear(w.cut)
	clear(w.arrives)
	for _, n := range w.nodes {
		n.disk.slow, n.disk.panics, n.panics = 0, false, never
		n.disk.failSnapshot.Store(false)
		n.feed()
		if n.paused {
			n.resume()
		}
		if n.up && (failure(n.disk.fail.Load()) != none || n.store.Failed() != nil || n.failed() || n.panicked) {
			n.crash()
		}
		n.restart()
	}
}

func (n *node) failed() bool {
	for _, d := range n.doors {
		if s := d.Status(); s.Role == actors.Failed || s.Role == actors.Stopped {
			return true
		}
	}
	return false
}

// settle: a healed cluster makes progress within 20 election timeouts.
func (w *world) settle() {
	if w.failure != nil {
		return
	}
	healed := w.now
	limit := healed + 20*w.options.Timing.Election
	committed := make([]int, w.options.Groups)
	for g := range w.truth {
		committed[g] = len(w.truth[g].committed)
	}
	progressed := func() bool {
		for g := range min(w.options.Groups, w.options.Clients) { // the others have no client
			if len(w.truth[g].committed) == committed[g] {
				return false
			}
		}
		return w.history.last > healed
	}
	w.run(func() bool { return progressed() || w.now > limit })
	if w.failure == nil && !progressed() {
		w.fail("a healed cluster makes progress within 20 election timeouts", "nothing new after %v: %s", w.now-healed, w.describe())
	}
}

// catchUp: all that is left agrees.
func (w *world) catchUp() {
	if w.failure != nil {
		return
	}
	committed := make([]int, w.options.Groups)
	for g := range w.truth {
		committed[g] = len(w.truth[g].committed)
	}
	limit := w.now + 20*w.options.Timing.Election
	w.run(func() bool { return w.now > limit || w.lagging(committed) == "" })
	if lag := w.lagging(committed); w.failure == nil && lag != "" {
		w.fail("every intact server catches up within 20 election timeouts", "%s%s", lag, w.describe())
	}
}

// lagging names an intact server that has not applied what was committed when the faults ended, or that says that it cannot serve;
// or one on a wiped disk that does not know that it does not count.
func (w *world) lagging(committed []int) string {
	for _, n := range w.nodes {
		for g, d := range n.doors {
			s := d.Status()
			switch {
			case !n.up:
			case n.wiped && !notCounted(s):
				return fmt.Sprintf("%s does not say that it does not count: %+v", n.id, s)
			case !n.wiped && n.seen[g].level < w.lowestLevel():
				return fmt.Sprintf("%s is in a group of level %d, although all know %d", n.id, n.seen[g].level, w.lowestLevel())
			case !n.wiped && (s.AppliedIndex < uint64(committed[g]) || s.Unready != nil):
				return fmt.Sprintf("%s applied %d of %d: %+v", n.id, s.AppliedIndex, committed[g], s)
			}
		}
	}
	return ""
}

func notCounted(s actors.Status) bool {
	var e actors.NotCountedError
	return errors.As(s.Unready, &e)
}

// quieten ends the clients' work and takes the leaders away: the next ones commit all that they have, with nobody asking, and the
// others hear of it. Without the no-op of a new term (section 8) they would not.
func (w *world) quieten() {
	if w.failure != nil {
		return
	}
	w.history.quiet = true
	limit := w.now + 20*w.options.Timing.Election
	w.run(func() bool { return w.now > limit || len(w.history.open) == 0 && w.history.forgotten() == "" })
	if forgotten := w.history.forgotten(); w.failure == nil && forgotten != "" {
		w.fail("every caller is answered within 20 election timeouts", "%s", forgotten)
	}
	terms := make([]uint64, w.options.Groups)
	for g := range w.truth {
		for _, n := range w.nodes {
			if n.up && n.doors[g].Status().Role == actors.Leader {
				terms[g] = n.doors[g].Status().Term
				n.crash()
				n.restart()
			}
		}
	}
	limit = w.now + 20*w.options.Timing.Election
	w.run(func() bool { return w.now > limit || w.unsettled(terms) == "" })
	if what := w.unsettled(terms); w.failure == nil && what != "" {
		w.fail("new leaders commit all that they have, and tell the others", "%s%s", what, w.describe())
	}
}

// unsettled names a group that has no new leader since those terms, or a server that has not applied the whole of its log.
func (w *world) unsettled(terms []uint64) string {
	for g, term := range terms {
		led := false
		for _, n := range w.nodes {
			if !n.up || n.wiped {
				continue
			}
			s := n.doors[g].Status()
			led = led || s.Role == actors.Leader && s.Term > term
			if s.AppliedIndex != s.LastIndex || s.LastIndex != uint64(len(w.truth[g].committed)) {
				return n.id
			}
		}
		if !led {
			return groupName(g)
		}
	}
	return ""
}

// describe says how every server is.
func (w *world) describe() string {
	var all []string
	for _, n := range w.nodes {
		for g, d := range n.doors {
			s := d.Status()
			all = append(all, fmt.Sprintf("%s/%s up=%v wiped=%v %v term=%d leader=%q last=%d@%d "+
				"durable=%d disk=%d commit=%d applied=%d cut=%d snapshot=%d sends=%v err=%v",
				n.id, groupName(g), n.up, n.wiped, s.Role, s.Term, s.LeaderID, s.LastIndex, n.seen[g].log.lastTerm(),
				s.DurableIndex, n.disk.groups[g].log.last(), s.CommitIndex, s.AppliedIndex, s.FirstIndex-1, s.SnapshotIndex,
				d.Replication(), s.Err))
		}
		if n.broken != "" {
			all = append(all, n.id+" is down: "+n.broken)
		}
	}
	return "\n" + strings.Join(all, "\n")
}
