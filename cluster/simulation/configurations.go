package simulation

import (
	"google.golang.org/protobuf/proto"

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
