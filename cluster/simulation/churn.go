package simulation

import (
	"errors"
	"slices"

	"github.com/troupe-raft/troupe/actors"
)

// churning says whether operators change members. They do in half of the seeds: those have no mixed versions, since no member may be
// too old, and a disk is lost only where those that are left are enough.
func (o *Options) churning() bool { return o.Faults[Churn] > 0 && o.Seed/2%2 == 0 }

// reconfiguration is an operator's, of a group's members.
type reconfiguration struct {
	n           *node
	g           int
	incarnation int
	to          actors.Change
}

// churn asks some node for other members.
func (w *world) churn() {
	n, g := w.someone(), w.rng.IntN(w.options.Groups)
	if w.options.churning() && n.up && len(w.truth[g].stores) > 0 && len(n.doors) == w.options.Groups {
		w.hit(Churn)
		w.reconfigure(n, g, w.drawnChange(g, n.doors[g].Status().Configuration))
	}
}

func (w *world) reconfigure(n *node, g int, to actors.Change) {
	w.note("%s is asked for the voters %v and learners %v, after %d", n.id, to.Voters, to.Learners, to.Base)
	c := &reconfiguration{n, g, n.incarnation, to}
	w.history.changes[c] = true
	n.doors[g].Reconfigure(to, c)
}

// Answer is called by the actors.
func (c *reconfiguration) Answer(a actors.Answer) {
	w := c.n.w
	if !w.history.changes[c] {
		w.fail("who asks for other members is answered once", "%s, again, with %+v", c.n.id, a)
	}
	delete(w.history.changes, c)
	switch {
	case a.Err == nil:
		w.note("%s has other members since %d", c.n.id, a.Index)
	case errors.Is(a.Err, actors.ErrOutcomeUnknown):
		w.history.doubts = append(w.history.doubts, c)
	}
}

// unansweredChange is one that a running server owes an answer; nil: none.
func (h *history) unansweredChange() *reconfiguration {
	for c := range h.changes {
		if c.n.up && c.n.incarnation == c.incarnation {
			return c
		}
	}
	return nil
}

// drawnChange lets most nodes be what they are. A new voter was a learner.
func (w *world) drawnChange(g int, now *actors.Configuration) (to actors.Change) {
	if w.chance(0.5) {
		to.Base = now.Index
	}
	for i := range w.nodes {
		m := w.member(g, i)
		if outdated(now, m) {
			continue
		}
		if known, in := now.Member(m.ID); in && w.chance(0.5) {
			m = known
		}
		is := now.PartOf(m.ID)
		part := is
		if w.chance(0.3) {
			part = actors.Part(w.rng.IntN(3))
		}
		switch {
		case part == actors.Voter && (is != actors.Absent || w.chance(0.1)):
			to.Voters = append(to.Voters, m)
		case part != actors.Absent:
			to.Learners = append(to.Learners, m)
		}
	}
	return to
}

// outdated says whether a configuration has a node with a directory that is gone: somebody wanted it in before it was replaced. It has to
// be removed first.
func outdated(now *actors.Configuration, m actors.Member) bool {
	had, in := now.Member(m.ID)
	return in && had.StoreID != m.StoreID
}

// member is a node as a configuration has it: with its present data directory.
func (w *world) member(g, place int) actors.Member {
	m := w.members[place]
	m.StoreID = w.nodes[place].storeID
	return m
}

// gather makes all nodes voters again.
func (w *world) gather() {
	if w.failure != nil || !w.options.churning() {
		return
	}
	w.startWhoAreLost()
	limit := w.now + 60*w.options.Timing.Election
	var ask func()
	ask = func() {
		for g := range w.truth {
			if l := w.leaderOf(g); l != nil && !w.gathered(g) {
				w.reconfigure(l, g, w.nextToAll(g, l.doors[g].Status().Configuration))
			}
		}
		w.after(w.options.Timing.Election, ask)
	}
	ask()
	all := func() bool {
		for g := range w.truth {
			if !w.gathered(g) {
				return false
			}
		}
		return true
	}
	w.run(func() bool { return w.now > limit || all() })
	if w.failure == nil && !all() {
		w.fail("a healed group takes all nodes in again within 60 election timeouts", "%s", w.describe())
	}
}

// nextToAll makes learners of who is absent, and then voters of all.
func (w *world) nextToAll(g int, now *actors.Configuration) (to actors.Change) {
	var voters, others []actors.Member
	absent := false
	for i := range w.nodes {
		m := w.member(g, i)
		if outdated(now, m) {
			absent = true
			continue
		}
		if known, in := now.Member(m.ID); in && !w.nodes[i].joining(g) {
			m = known // it tells the group itself where it is
		} else if in && known.Address != m.Address {
			absent = true // nobody reaches it there
		}
		switch now.PartOf(m.ID) {
		case actors.Voter:
			voters = append(voters, m)
		case actors.Absent:
			absent = true
			fallthrough
		default:
			others = append(others, m)
		}
	}
	if absent {
		return actors.Change{Voters: voters, Learners: others}
	}
	return actors.Change{Voters: append(voters, others...)}
}

// gathered says whether every running server knows a configuration in which all nodes vote, and are where they are, as they are.
func (w *world) gathered(g int) bool {
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		c := n.doors[g].Status().Configuration
		other := func(n *node) bool { return n.misplaced(c) || outdated(c, w.member(g, n.place)) }
		if len(c.Voters) < len(w.nodes) || len(c.Outgoing) > 0 || slices.ContainsFunc(w.nodes, other) {
			return false
		}
	}
	return true
}

func (w *world) leaderOf(g int) *node {
	for _, n := range w.nodes {
		if n.up && len(n.doors) > g && n.doors[g].Status().Role == actors.Leader {
			return n
		}
	}
	return nil
}
