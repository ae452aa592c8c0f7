package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/troupe-raft/troupe/cluster/client"
)

func casCommand() *command {
	return &command{
		name: "cas", args: "KEY OLD NEW",
		summary: "Set a key to a new value if it has the old one.",
		text: `
Prints the key's new version. When the key has another value nothing is changed, and the exit code is 1. With --absent there is
no OLD: the key is set only if it does not exist. NEW - reads the new value from standard input.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r remote
			r.register(flags)
			absent := flags.Bool("absent", false, "set the key only if it does not exist: cas KEY NEW --absent")
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := checkKey(args[0]); err != nil {
					return err
				}
				if *absent && len(args) == 3 {
					return usagef("with --absent it takes KEY NEW, but 3 arguments are given")
				}
				var old []byte
				if !*absent {
					old = []byte(args[1])
				}
				value, err := readValue(ctx, t, args[len(args)-1])
				if err != nil {
					return err
				}
				return r.write(ctx, t, func(ctx context.Context, c *client.Client) (string, error) {
					swapped, version, err := c.CompareAndSwap(ctx, args[0], old, value)
					switch {
					case err != nil:
						return "", err
					case !swapped && version == 0:
						return "", notFound(args[0])
					case !swapped && *absent:
						return "", fmt.Errorf("the key %q exists, at version %d: nothing was changed", args[0], version)
					case !swapped:
						return "", fmt.Errorf("the key %q has another value, at version %d: get it and try again", args[0], version)
					}
					return versionAnswer(version), nil
				})
			}
		},
	}
}
