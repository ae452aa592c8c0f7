package simulation

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// majorities are the sets of nodes that must agree, as a log or a snapshot says; of a group that was not changed, all nodes.
func (w *world) majorities(configuration string) []nodeSet {
	var c messages.Configuration
	if configuration == "" || proto.Unmarshal([]byte(configuration), &c) != nil {
		return []nodeSet{1<<len(w.nodes) - 1}
	}
	var sets []nodeSet
	for _, members := range [][]*messages.Member{c.Voters, c.Outgoing} {
		var set nodeSet
		for _, m := range members {
			set |= 1 << w.placeOf(m.Id)
		}
		if set != 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// agree says whether a majority of each set is among the nodes.
func agree(sets []nodeSet, nodes nodeSet) bool {
	for _, set := range sets {
		if (set & nodes).size() <= set.size()/2 {
			return false
		}
	}
	return true
}

// checkOverlap: whoever decides next has a node in common with whoever decides now, in every log (section 6).
func (w *world) checkOverlap(n *node, now, next string) {
	before, after := w.majorities(now), w.majorities(next)
	for some := range nodeSet(1) << len(w.nodes) {
		if agree(before, some) && agree(after, ^some) {
			w.fail("a majority before a change of members and one after it have a member in common", "%s: %q, then %q", n.id, now, next)
			return
		}
	}
}

// checkChange: a leader makes one change at a time, and none before it has committed in its term (section 6).
func (w *world) checkChange(n *node, g int, was uint64, now actors.Status) {
	before := &n.seen[g].status
	if before.Role != actors.Leader || now.Role != actors.Leader || before.Term != now.Term {
		return
	}
	t := &w.truth[g]
	if now.CommitIndex < was || now.CommitIndex == 0 || t.committed[now.CommitIndex-1].term != now.Term {
		w.fail("a leader changes the members when the change before is committed, and so is an entry of its term",
			"%s in term %d, has committed %d, members since %d, then %d", n.id, now.Term, now.CommitIndex, was, n.seen[g].members)
	}
	w.strikeChange(n, g)
}

// hasVote says whether a node's data directory is that of a voter, as its log says: another one may have promised something else.
func (w *world) hasVote(n *node, g int) bool {
	var c messages.Configuration
	members := n.seen[g].log.members()
	if members == "" || proto.Unmarshal([]byte(members), &c) != nil {
		return n.joins[g] == 0 // who joined later is not among the founders
	}
	is := func(m *messages.Member) bool { return m.Id == n.id && m.StoreId == n.storeID }
	return slices.ContainsFunc(c.Voters, is) || slices.ContainsFunc(c.Outgoing, is)
}
