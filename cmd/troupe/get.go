package main

import (
	"context"
	"flag"

	"github.com/troupe-raft/troupe/cluster/client"
)

func getCommand() *command {
	return &command{
		name: "get", args: "KEY",
		summary: "Print the value of a key.",
		text: `
The read is linearizable: it sees every write that was acknowledged before. The value is printed as it is; only on a terminal a
newline follows. A key that does not exist is exit code 1.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r remote
			r.register(flags)
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := checkKey(args[0]); err != nil {
					return err
				}
				return r.use(ctx, t, func(ctx context.Context, c *client.Client) error {
					value, _, found, err := c.Get(ctx, args[0])
					if err != nil {
						return err
					}
					if !found {
						return notFound(args[0])
					}
					if t.outIsTerminal {
						value = append(value, '\n')
					}
					_, err = t.out.Write(value)
					return err
				})
			}
		},
	}
}
