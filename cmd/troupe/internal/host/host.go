// Package host runs nodes with the built-in replicated map on them: one for troupe serve, several in one process for troupe bench.
package host

import (
	"context"
	"fmt"
	"time"

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
	// Parts are its parts of all groups, each of which replicates a map; the first is the one above, and the only one that clients reach.
	Parts []*cluster.Group
}

// Start starts a node, the map's group on it, and the map's service on its client port if it has one.
func Start(ctx context.Context, c cluster.Config, members []actors.Member) (*Node, error) {
	node, err := cluster.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return startGroups(ctx, node, c, members, 1)
}

// Join is Start for a node that comes into a cluster that runs.
func Join(ctx context.Context, c cluster.Config, j cluster.Join) (*Node, error) {
	node, err := cluster.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return serveGroups(ctx, node, c, 1, func(name string) (*cluster.Group, error) { return node.JoinGroup(ctx, name, j, kv.NewMap()) })
}

// startGroups starts the node's groups, or shuts it down.
func startGroups(ctx context.Context, node *cluster.Node, c cluster.Config, members []actors.Member, groups int) (*Node, error) {
	return serveGroups(ctx, node, c, groups, func(name string) (*cluster.Group, error) {
		return node.StartGroup(ctx, name, members, kv.NewMap())
	})
}

func serveGroups(
	ctx context.Context, node *cluster.Node, c cluster.Config, groups int, start func(name string) (*cluster.Group, error),
) (*Node, error) {
	n := &Node{Node: node, Parts: make([]*cluster.Group, groups)}
	err := error(nil)
	for i := range n.Parts {
		if n.Parts[i], err = start(groupName(i)); err != nil {
			break
		}
	}
	n.Group = n.Parts[0]
	if err == nil && c.ClientAddr != "" {
		err = kv.Mount(node, n.Group)
	}
	if err != nil {
		limited, cancel := undoContext(ctx)
		defer cancel()
		_ = node.Shutdown(limited) // the first error says more
		return nil, err
	}
	return n, nil
}

// undoContext is for what follows a start that failed, perhaps because ctx is done: whoever removes the data afterwards must not
// do so while nodes still stop.
func undoContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

func groupName(i int) string {
	if i == 0 {
		return Group
	}
	return fmt.Sprintf("%s-%d", Group, i+1)
}
