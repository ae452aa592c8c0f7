package simulation

import (
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
