package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/backup"
)

func snapshotSaveCommand() *command {
	return &command{
		name: "snapshot save", args: "FILE",
		summary: "Save a backup of a running cluster.",
		text: `
The leader sends a snapshot that has every write that was acknowledged before; it takes one first, if need be, while it goes on to
serve. The file is checked before it gets its name. It fails when FILE exists; when it fails or is interrupted nothing is left
behind, but kill -9 leaves a file FILE.*.new, which may be removed. Keep backups safe: they have all keys and values, unencrypted.
With --local the first node of --endpoints that answers sends what it has applied, whether it leads or not, and even when no
majority of the nodes runs: that may be older. --timeout is the time to find a node.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			s := save{}
			s.remote.register(flags)
			flags.BoolVar(&s.local, "local", false, "save what the node has applied, whether it leads or not")
			flags.StringVar(&s.group, "group", "", "`name` of the group (default the first that the nodes started)")
			return func(ctx context.Context, t *terminal, args []string) error { return s.run(ctx, t, args[0]) }
		},
	}
}

type save struct {
	remote remote
	group  string
	local  bool
}

func (s *save) run(ctx context.Context, t *terminal, path string) error {
	c, err := s.remote.connect(t)
	if err != nil {
		return err
	}
	defer c.Close()
	file, err := backup.Create(path)
	if err != nil {
		return err
	}
	defer file.Discard()
	snapshot, err := c.Snapshot(ctx, s.remote.timeout, s.group, s.local)
	if err != nil {
		return err
	}
	defer func() { _ = snapshot.Close() }()
	var progress backup.Progress
	stop := show(t, "saving", &progress)
	defer stop()
	if err := file.Fill(progress.Watch(snapshot)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	kept, err := file.Keep(ctx)
	if err != nil {
		return err
	}
	stop()
	_, err = fmt.Fprintf(t.out, "saved: index %d, term %d, %d bytes\n",
		kept.GetLastIncludedIndex(), kept.GetLastIncludedTerm(), kept.GetBytes())
	return err
}
