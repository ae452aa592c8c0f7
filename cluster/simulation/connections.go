package simulation

import "time"

// someConnections does something to the connections of a node, often a leader, with one other or all.
func (w *world) someConnections(do func(a, b *node)) {
	n, peer, all := w.someone(), w.rng.IntN(len(w.nodes)), w.chance(0.5)
	if l := w.leader(); l >= 0 && w.chance(0.5) {
		n = w.nodes[l]
	}
	for _, other := range w.nodes {
		if other != n && (all || other.place == peer) {
			do(n, other)
		}
	}
}

// hangUp ends the connections between two nodes, until new ones are made: what is on its way is lost, and both ends are told.
func (w *world) hangUp(a, b *node) {
	w.hit(Hangup)
	w.note("the connections between %s and %s break", a.id, b.id)
	w.endConnections(a, b)
	o := &outage{fault: Hangup, hit: true}
	w.sever(o, func(from, to int) bool { return from == a.place && to == b.place || from == b.place && to == a.place })
	w.after(w.between(0, w.options.Timing.Election), func() { w.reconnect(o) })
	a.lose(b)
	b.lose(a)
}

// reset ends the connections between two nodes as hangUp does, but new ones are made at once. An end may be told late: mail of the new
// connection may be there before.
func (w *world) reset(a, b *node) {
	w.hit(Reset)
	w.note("the connections between %s and %s are reset", a.id, b.id)
	w.endConnections(a, b)
	const soon = 3 * time.Millisecond
	for _, end := range [][2]*node{{a, b}, {b, a}} {
		w.after(w.between(0, soon), func() {
			end[0].lose(end[1])
			w.after(w.between(0, soon), func() { end[0].meet(end[1]) })
		})
	}
}

// endConnections loses what is on its way between two nodes.
func (w *world) endConnections(a, b *node) {
	w.connections[link{a.place, b.place}]++
	w.connections[link{b.place, a.place}]++
}

// lose tells a node that its connection to a peer broke, as the transport does.
func (n *node) lose(peer *node) {
	if n.up {
		for _, d := range n.doors {
			d.LeaderLost(peer.address)
		}
	}
}

// meet tells a node that there is a connection to a peer, as the transport does.
func (n *node) meet(peer *node) {
	if n.up {
		for _, d := range n.doors {
			d.PeerConnected(peer.address)
		}
	}
}
