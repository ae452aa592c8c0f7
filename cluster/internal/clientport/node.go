package clientport

import (
	"context"
	"io"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Node is what the port asks of the node that it belongs to, from any goroutine.
type Node interface {
	// Groups are the names of the groups that were started, in that order.
	Groups() []string
	// Group is one that was started, nil when there is none of that name.
	Group(name string) Group
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

// Group is a group of the node. Its methods are those of cluster.Group.
type Group interface {
	Door() Door
	Submit(ctx context.Context, session messages.SessionCommand, command []byte) (index uint64, value []byte, err error)
	Query(ctx context.Context, read actors.Read, minIndex uint64, query []byte) (index uint64, value []byte, err error)
	OpenSession(ctx context.Context, nonce uint64) (actors.OpenedSession, error)
	CloseSession(ctx context.Context, id messages.SessionID) error
	Members
}

// Door is what an Exchange needs of a group; *actors.Door is one.
type Door interface {
	ProposeIn(session messages.SessionCommand, command []byte, caller actors.Caller)
	OpenSession(nonce uint64, caller actors.Caller)
	CloseSession(id messages.SessionID, caller actors.Caller)
	Read(read actors.Read, query []byte, caller actors.Caller)
	Applied(index uint64) (applied <-chan struct{}, giveUp func(), err error)
	Status() actors.Status
	Changed() <-chan struct{}
}

// Snapshot is an open snapshot file.
type Snapshot interface {
	io.ReadCloser
	// Size is the length of the file in bytes.
	Size() int64
}
