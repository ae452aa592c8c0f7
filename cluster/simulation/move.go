package simulation

import (
	"fmt"
	"slices"

	"github.com/troupe-raft/troupe/actors"
)

// move gives some nodes each other's addresses, and one of them a new one, while they are down. They are told where the others are now.
func (w *world) move() {
	if !w.options.churning() || !w.allFounded() {
		return
	}
	var moved []*node
	for _, n := range w.nodes {
		if w.chance(0.5) {
			moved = append(moved, n)
		}
	}
	if len(moved) == 0 {
		return
	}
	w.hit(Move)
	next := moved[0].address
	if w.chance(0.5) {
		next = fmt.Sprintf("moved%d:1", w.hits_[Move])
	}
	for i := len(moved) - 1; i >= 0; i-- {
		n := moved[i]
		w.crash(Kill, n)
		n.address, next = next, n.address
		w.members[n.place].Address = n.address
		w.note("%s is at %s now", n.id, n.address)
	}
}

func (w *world) allFounded() bool {
	for _, t := range w.truth {
		if len(t.stores) == 0 {
			return false
		}
	}
	return true
}

// tellAddress has a node tell its groups where it is, until they know.
func (n *node) tellAddress(incarnation int) {
	if n.incarnation != incarnation {
		return
	}
	for g, d := range n.doors {
		if now := d.Status().Configuration; now.Index > 0 && n.misplaced(now) {
			n.w.reconfigure(n, g, n.placed(now))
		}
	}
	n.w.after(n.w.options.Timing.Election, func() { n.tellAddress(incarnation) })
}

// startWhoAreLost: operators start a node again that was told where members are who have moved since. It may find nobody there.
func (w *world) startWhoAreLost() {
	for _, n := range w.nodes {
		if n.up && !slices.Equal(n.hints, w.members) {
			n.crash()
			n.restart()
		}
	}
}

// misplaced says whether a configuration has the node elsewhere.
func (n *node) misplaced(c *actors.Configuration) bool {
	m, in := c.Member(n.id)
	return in && m.Address != n.address
}

// placed has the node where it is. Who is there in the configuration is there no more, and gets its old address.
func (n *node) placed(now *actors.Configuration) actors.Change {
	old, _ := now.Member(n.id)
	place := func(members []actors.Member) []actors.Member {
		for i := range members {
			switch {
			case members[i].ID == n.id:
				members[i].Address = n.address
			case members[i].Address == n.address:
				members[i].Address = old.Address
			}
		}
		return members
	}
	return actors.Change{Base: now.Index, Voters: place(slices.Clone(now.Voters)), Learners: place(slices.Clone(now.Learners))}
}
