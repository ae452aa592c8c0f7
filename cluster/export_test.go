package cluster

import (
	"google.golang.org/protobuf/proto"
)

// Admits and Shows are what the transport asks of strangers, and shows as one.
func (n *Node) Admits(m proto.Message) bool { return n.admits(m) }

// Shows leaves out the actor.
func (n *Node) Shows(address string) []proto.Message {
	_, all := n.shows(address)
	return all
}
