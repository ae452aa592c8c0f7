package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/offline"
)

func checkCommand() *command {
	return &command{
		name:    "check",
		summary: "Check the data directory of a stopped node.",
		text: `
Reads the node's logs and snapshots, and compares all of it with its checksums. Exit code 1 tells that something is not as the
node wrote it, or that the node runs. With --json:
  {"node","cluster","groups":[{"group","first","last","log_bytes","snapshot_index","snapshot_bytes","error"}]}
Opening the directory is what a node does at its start: it may write the database's own log into tables, and remove files that
nothing points to. It changes nothing that the node knows.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			dir := flags.String("data-dir", "", "the node's `directory`")
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if *dir == "" {
					return usagef("--data-dir is missing")
				}
				report, err := offline.Check(ctx, *dir)
				if report == nil {
					return err
				}
				printed := error(nil)
				if *asJSON {
					printed = json.NewEncoder(t.out).Encode(report)
				} else {
					printed = printReport(t.out, report)
				}
				if err == nil {
					err = printed
				}
				return err
			}
		},
	}
}

func printReport(w io.Writer, r *offline.Report) error {
	fmt.Fprintf(w, "node %s of cluster %s\n\n", r.Node, r.Cluster)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GROUP\tFIRST\tLAST\tLOG BYTES\tSNAPSHOT\tSNAPSHOT BYTES\tSTATE")
	for _, g := range r.Groups {
		state := "ok"
		if g.Error != "" {
			state = oneLine(g.Error)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", g.Name, g.First, g.Last, g.LogBytes, g.SnapshotIndex, g.SnapshotBytes, state)
	}
	return table.Flush()
}
