package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/backup"
)

func snapshotRestoreCommand() *command {
	return &command{
		name: "snapshot restore", args: "FILE",
		summary: "Make a new node's data directory from a backup.",
		text: `
The new cluster begins with what is in FILE. Give all its nodes new directories; restore on one of them, or the same FILE on each,
which spares the network. Then start all nodes with the same --initial-cluster: they found a cluster with a new id, and those
without FILE get its content from the others. A node that was restored from another backup is refused, and its log says so. The
backup is checked first. The directory must be new or empty; when it fails or is interrupted nothing is left behind. After
kill -9 or a power failure no node starts in the directory: restore it again.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r restore
			flags.StringVar(&r.Node.ID, "id", "", "the node's `name` in the new cluster")
			flags.StringVar(&r.Node.DataDir, "data-dir", "", "the `directory` to make")
			flags.StringVar(&r.initialCluster, "initial-cluster", "", "all nodes of the new cluster, as `ID=PEER_ADDR`,...")
			flags.StringVar(&r.Node.Cluster, "cluster", "troupe", "the new cluster's `name`, as for serve")
			return func(ctx context.Context, t *terminal, args []string) error {
				r.Path = args[0]
				return r.run(ctx, t)
			}
		},
	}
}

type restore struct {
	backup.Restore
	initialCluster string
}

func (r *restore) run(ctx context.Context, t *terminal) (err error) {
	for _, needed := range []struct{ name, value string }{
		{"id", r.Node.ID}, {"data-dir", r.Node.DataDir}, {"initial-cluster", r.initialCluster},
	} {
		if needed.value == "" {
			return usagef("--%s is missing", needed.name)
		}
	}
	if r.Members, err = cluster.ParseMembers(r.initialCluster); err != nil {
		return usagef("--initial-cluster: %v", err)
	}
	for _, m := range r.Members {
		if m.ID == r.Node.ID {
			r.Node.PeerAddr = m.Address
		}
	}
	if r.Node.PeerAddr == "" {
		return usagef("--initial-cluster does not name node %s: list every node, itself included", r.Node.ID)
	}
	if err := r.Node.Validate(r.Members); err != nil {
		return usagef("%v", err)
	}
	stop := show(t, "restoring", &r.Progress)
	defer stop()
	header, err := r.Run(ctx)
	if err != nil {
		return err
	}
	stop()
	_, err = fmt.Fprintf(t.out, "restored: group %s begins with index %d, term %d, %d bytes\n", header.GetGroup(),
		header.GetLastIncludedIndex(), header.GetLastIncludedTerm(), r.Progress.Size.Load())
	return err
}
