package backup

import (
	"context"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Restore makes a new data directory from a backup.
type Restore struct {
	Path    string
	Node    cluster.Config // ID, DataDir and Cluster
	Members []actors.Member
	// Progress is how much of the backup is in the directory.
	Progress Progress
}

// Run checks the backup, and then makes the directory. When it fails, or ctx is done, nothing is left behind.
func (r *Restore) Run(ctx context.Context) (*messages.SnapshotHeader, error) {
	type opened struct {
		file *persistence.SnapshotReader
		err  error
	}
	o, ok := wait.Result(ctx, func() (o opened) {
		o.file, o.err = persistence.OpenSnapshotFile(vfs.Default, r.Path)
		return o
	})
	switch {
	case !ok:
		return nil, ctx.Err()
	case o.err != nil:
		return nil, o.err
	}
	defer func() { _ = o.file.Close() }()
	r.Progress.Size.Store(int64(o.file.Pointer().GetBytes()))
	var members []*messages.Member
	for _, m := range r.Members {
		members = append(members, &messages.Member{Id: m.ID, Address: m.Address})
	}
	options := persistence.Options{NodeID: r.Node.ID, Cluster: r.Node.Cluster}
	return o.file.Header(), persistence.Seed(ctx, r.Node.DataDir, options, o.file, members, &r.Progress.Done)
}
