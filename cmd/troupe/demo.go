package main

import (
	"context"
	"flag"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/demo"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
)

func demoCommand() *command {
	return &command{
		name:    "demo",
		summary: "Show a three-node cluster that loses its leader twice and nothing else.",
		text: `
Starts three processes of this program, with real sockets and every write synced to disk, and lets clients write all the time.
The leader gets kill -9, and is started again from its directory; then the next leader is cut off from the other nodes for a
while. It tells for how long nobody could write. At the end every key is read: the exit code is 1 if a write that was acknowledged
is missing. The data and the logs are removed, unless something is wrong. Ctrl-C ends it at once, processes and all.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			d := demo.Demo{Length: 15 * time.Second}
			flags.Var((*seconds)(&d.Length), "for", "`time` to write for, at least 3s")
			flags.StringVar(&d.Dir, "dir", "", "`directory` on a real disk for the data (default the user's cache directory)")
			flags.IntVar(&d.Writers, "writers", 64, "`number` of clients that write")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if err := d.Check(); err != nil {
					return usagef("%v", err)
				}
				return d.Run(ctx, screen.New(t.out, t.outIsTerminal))
			}
		},
	}
}
