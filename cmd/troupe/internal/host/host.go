// Package host runs nodes with the built-in replicated map on them: one for troupe serve, several in one process for troupe demo
// and troupe bench.
package host

import (
	"context"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// Group is the name of the map's group.
const Group = "kv"

// Node is a running node that serves the map.
type Node struct {
	*cluster.Node
	Group *cluster.Group
	Map   *kv.KV
}

// Start starts a node, the map's group on it, and the map's service on its client port if it has one.
func Start(ctx context.Context, c cluster.Config, members []actors.Member) (*Node, error) {
	node, err := cluster.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	n := &Node{Node: node}
	if n.Group, err = node.StartGroup(ctx, Group, members, kv.NewMap()); err == nil {
		n.Map = kv.Open(n.Group)
		if c.ClientAddr != "" {
			err = kv.Mount(node, n.Group)
		}
	}
	if err != nil {
		_ = node.Shutdown(ctx) // the first error says more
		return nil, err
	}
	return n, nil
}
