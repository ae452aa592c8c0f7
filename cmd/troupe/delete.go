package main

import (
	"context"
	"flag"

	"github.com/troupe-raft/troupe/cluster/client"
)

func deleteCommand() *command {
	return &command{
		name: "delete", args: "KEY",
		summary: "Remove a key.",
		text:    "Prints nothing. A key that does not exist is exit code 1.",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r remote
			r.register(flags)
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := checkKey(args[0]); err != nil {
					return err
				}
				return r.write(ctx, t, func(ctx context.Context, c *client.Client) (string, error) {
					deleted, err := c.Delete(ctx, args[0])
					if err == nil && !deleted {
						return "", notFound(args[0])
					}
					return "", err
				})
			}
		},
	}
}
