package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/offline"
)

func logDumpCommand() *command {
	return &command{
		name:    "log dump",
		summary: "Print the log of a stopped node.",
		text: `
A line for each entry that was not cut: its index, term, kind and length, and for commands of the map what they do, to which key.
With --json, each is {"index","term","kind","bytes","command":{"operation","key"}}; command is null for what is none of the map's.
The entries at the end need not be committed. Opening the directory is what a node does at its start: it may write the database's
own log into tables, and remove files that nothing points to. It changes nothing that the node knows.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var d offline.Dump
			flags.StringVar(&d.Dir, "data-dir", "", "the node's `directory`")
			flags.StringVar(&d.Group, "group", "", "`name` of the group (default the first that the node started)")
			flags.Uint64Var(&d.From, "from", 0, "the `number` of the first entry to print")
			flags.Uint64Var(&d.To, "to", 0, "the `number` of the last entry to print (default the end)")
			asJSON := flags.Bool("json", false, "print JSON, a line for each entry")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if d.Dir == "" {
					return usagef("--data-dir is missing")
				}
				if d.To > 0 && d.From > d.To {
					return usagef("--from %d is behind --to %d", d.From, d.To)
				}
				out := bufio.NewWriter(t.out)
				each := func(e offline.Entry) error { return printEntry(out, e) }
				if *asJSON {
					encoder := json.NewEncoder(out)
					each = func(e offline.Entry) error { return encoder.Encode(e) }
				}
				err := d.Run(ctx, each)
				if flushErr := out.Flush(); err == nil {
					err = flushErr
				}
				return err
			}
		},
	}
}

func printEntry(w io.Writer, e offline.Entry) error {
	command := ""
	if e.Command != nil {
		command = fmt.Sprintf("  %s %q", e.Command.Operation, e.Command.Key)
	}
	_, err := fmt.Fprintf(w, "%10d  term %d  %s  %d bytes%s\n", e.Index, e.Term, e.Kind, e.Bytes, command)
	return err
}
