package simulation

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// replaceNode gives a node that left all groups an empty disk. It joins as a new one, which founds nothing and waits until an operator
// takes it in.
func (w *world) replaceNode() {
	n := w.someone()
	if !w.options.churning() || !n.up {
		return
	}
	for g := range w.truth {
		if !w.left(g, n) {
			return
		}
	}
	w.hit(Replace)
	w.note("%s is replaced", n.id)
	n.rejoined = false
	w.renew(n)
}

// rejoin takes the disk of a node that groups still count. It waits until an operator has removed the member that it was.
func (w *world) rejoin() {
	n := w.someone()
	if !w.options.churning() || !n.up || !w.dispensable(n) {
		return
	}
	w.hit(Rejoin)
	w.note("%s loses its disk, and joins", n.id)
	n.rejoined = true
	w.renew(n)
}

// renew starts a node again with an empty disk, to join its groups.
func (w *world) renew(n *node) {
	for g, d := range n.doors {
		n.joins[g] = d.Status().ClusterID
	}
	n.crash()
	n.disk = newDisk(w.options.Groups)
	n.start()
	for g := range w.truth {
		w.truth[g].stores[n.place][n.storeID] = true
	}
}

// dispensable says whether each configuration that is or may come into force keeps its majorities without the disk of n.
func (w *world) dispensable(n *node) bool {
	if w.history.unansweredChange() != nil {
		return false
	}
	for g := range w.truth {
		t := &w.truth[g]
		if len(t.committed) == 0 || len(n.doors) <= g || n.doors[g].Status().ClusterID == 0 {
			return false
		}
		last := uint64(len(t.committed))
		if !w.lives(g, t.membersAt(last), n) {
			return false
		}
		for _, c := range t.configurations {
			if c.index > last && !w.lives(g, c.members, n) {
				return false
			}
		}
	}
	needs := func(c *reconfiguration) bool { return w.mayBeDone(c) && !w.lives(c.g, c.configuration(), n) }
	for c := range w.history.changes { // of nodes that went down: what they forwarded may arrive
		if needs(c) {
			return false
		}
	}
	return !slices.ContainsFunc(w.history.doubts, needs)
}

// mayBeDone says whether a change has voters, and no configuration is committed that is newer than the one that it was drawn for, if any.
func (w *world) mayBeDone(c *reconfiguration) bool {
	newest := uint64(0)
	for i, id := range w.truth[c.g].committed {
		if id.members != "" {
			newest = uint64(i + 1)
		}
	}
	return len(c.to.Voters) > 0 && (c.to.Base == 0 || c.to.Base >= newest)
}

// configuration is what comes into force if the change is done after all.
func (c *reconfiguration) configuration() string {
	var after messages.Configuration
	for _, v := range c.to.Voters {
		after.Voters = append(after.Voters, &messages.Member{Id: v.ID, StoreId: v.StoreID})
	}
	b, err := proto.Marshal(&after)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lives says whether the disks that a configuration counts are enough without that of lost.
func (w *world) lives(g int, configuration string, lost *node) bool {
	var c messages.Configuration
	if configuration == "" || proto.Unmarshal([]byte(configuration), &c) != nil {
		for _, n := range w.nodes {
			c.Voters = append(c.Voters, &messages.Member{Id: n.id})
		}
	}
	var intact nodeSet
	for _, m := range slices.Concat(c.Voters, c.Outgoing) {
		n := w.nodes[w.placeOf(m.Id)]
		if n != lost && (m.StoreId == n.storeID || m.StoreId == 0 && n.joins[g] == 0) {
			intact |= 1 << n.place
		}
	}
	return agree(w.majorities(configuration), intact)
}

// joining says whether a node has nothing of a group yet. It asks by the client port to be taken in, wherever it is.
func (n *node) joining(g int) bool {
	return n.joins[g] != 0 && (!n.up || n.doors[g].Status().Configuration.Index == 0)
}

// left says whether it is committed that a node is not in a group, and the node knows the group.
func (w *world) left(g int, n *node) bool {
	t := &w.truth[g]
	if len(n.doors) <= g || n.doors[g].Status().ClusterID == 0 {
		return false
	}
	var c messages.Configuration
	members := t.membersAt(uint64(len(t.committed)))
	if members == "" || proto.Unmarshal([]byte(members), &c) != nil {
		return false
	}
	for _, list := range [][]*messages.Member{c.Voters, c.Outgoing, c.Learners} {
		for _, m := range list {
			if m.Id == n.id {
				return false
			}
		}
	}
	return true
}
