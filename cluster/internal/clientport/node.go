package clientport

import (
	"context"

	"github.com/troupe-raft/troupe/messages"
)

// Node is what the port asks of the node that it belongs to, from any goroutine.
type Node interface {
	// Groups are the names of the groups that were started, in that order.
	Groups() []string
	// Status is a group as this node and, unless local, its peers see it; nil when there is none of that name.
	Status(ctx context.Context, group string, local bool) *messages.StatusResponse
	// Broken says why the node needs a restart, or nil.
	Broken() error
	// Unready says what keeps the node from serving, or nil.
	Unready() error
}
