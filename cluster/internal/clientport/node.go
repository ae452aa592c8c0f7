package clientport

import (
	"context"
	"io"

	"github.com/troupe-raft/troupe/messages"
)

// Node is what the port asks of the node that it belongs to, from any goroutine.
type Node interface {
	// Groups are the names of the groups that were started, in that order.
	Groups() []string
	// Status is a group as this node and, unless local, its peers see it; nil when there is none of that name.
	Status(ctx context.Context, group string, local bool) *messages.StatusResponse
	// Lead waits until this node has applied all that was acknowledged in a group before the call; only its leader can. There is such
	// a group.
	Lead(ctx context.Context, group string) error
	// Snapshot opens a snapshot file that has all that this node had applied of a group before the call. There is such a group.
	Snapshot(ctx context.Context, group string) (Snapshot, error)
	// Broken says why the node needs a restart, or nil.
	Broken() error
	// Unready says what keeps the node from serving, or nil.
	Unready() error
}

// Snapshot is an open snapshot file.
type Snapshot interface {
	io.ReadCloser
	// Size is the length of the file in bytes.
	Size() int64
}
