package cluster

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
)

// Admits and Shows are what the transport asks of strangers, and shows as one.
func (n *Node) Admits(m proto.Message) bool { return n.admits(m) }

// Look is what a call does that was told that it may look.
func (g *Group) Look(ctx context.Context, readIndex uint64, query []byte) ([]byte, error) {
	a, err := errand{courier: g.courier, data: query, read: &actors.Read{}}.look(ctx, g.node.calls, readIndex)
	return a.Value, err
}

// Shows leaves out the actor.
func (n *Node) Shows(address string) []proto.Message {
	_, all := n.shows(address)
	return all
}
