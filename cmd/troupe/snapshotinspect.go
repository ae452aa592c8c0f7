package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/backup"
)

func snapshotInspectCommand() *command {
	return &command{
		name: "snapshot inspect", args: "FILE",
		summary: "Check a backup, and tell what is in it.",
		text: `
Reads the whole file. Exit code 1 tells that it is damaged, or of a format that this troupe does not know. With --json:
  {"format","group","index","term","cluster_id","members":[{"id","address"}],"machine","keys","bytes","state_hash"}
Index and term are those of the last write in it, bytes is the length of the file. Maps with the same content have the same state
hash, whichever node a backup comes from. For state machines other than the map of "troupe serve", keys is null, and the hash is
the SHA-256 of the state's bytes. Keys are counted in memory: it takes about as much as a node does.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, t *terminal, args []string) error {
				info, err := backup.Inspect(ctx, args[0])
				switch {
				case err != nil:
					return err
				case *asJSON:
					return json.NewEncoder(t.out).Encode(info)
				}
				return printInfo(t.out, info)
			}
		},
	}
}

func printInfo(w io.Writer, i *backup.Info) error {
	members := []string{}
	for _, m := range i.Members {
		members = append(members, m.ID+"="+m.Address)
	}
	keys := "-"
	if i.Keys != nil {
		keys = fmt.Sprint(*i.Keys)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]any{
		{"format", i.Format}, {"group", i.Group}, {"index", i.Index}, {"term", i.Term}, {"cluster id", i.ClusterID},
		{"members", strings.Join(members, ",")}, {"machine", i.Machine}, {"keys", keys}, {"bytes", i.Bytes}, {"state hash", i.StateHash},
	} {
		fmt.Fprintf(table, "%v\t%v\n", row[0], row[1])
	}
	return table.Flush()
}
