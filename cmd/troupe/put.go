package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

func putCommand() *command {
	return &command{
		name: "put", args: "KEY VALUE",
		summary: "Set a key to a value.",
		text: `
Prints the key's version, which rises by one with every write to the key. That of a new key is 1, or above those of all keys that
were deleted. VALUE - reads the value from standard input, as it is. Write -- before a value that begins with a dash.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r remote
			r.register(flags)
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := checkKey(args[0]); err != nil {
					return err
				}
				value, err := readValue(ctx, t, args[1])
				if err != nil {
					return err
				}
				return r.write(ctx, t, func(ctx context.Context, c *client.Client) (string, error) {
					version, err := c.Put(ctx, args[0], value)
					return versionAnswer(version), err
				})
			}
		},
	}
}

// maxValue is far above what servers accept, and bounds what is read into memory before they are asked.
const maxValue = 64 << 20

// readValue is an argument's value: itself, or for "-" standard input.
func readValue(ctx context.Context, t *terminal, arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	type input struct {
		value []byte
		err   error
	}
	read, ok := wait.Result(ctx, func() (i input) {
		i.value, i.err = io.ReadAll(io.LimitReader(t.in, maxValue+1))
		return i
	})
	switch {
	case !ok:
		return nil, fmt.Errorf("%w; nothing was written", errInterrupted)
	case read.err != nil:
		return nil, fmt.Errorf("cannot read the value from standard input: %w", read.err)
	case len(read.value) > maxValue:
		return nil, fmt.Errorf("the value on standard input is larger than %d MiB: no server accepts it", maxValue>>20)
	}
	return read.value, nil
}
