package main

import (
	"fmt"
	"io"
)

func help(t *terminal, args []string) error {
	if len(args) == 0 {
		printOverview(t.out)
		return nil
	}
	if args[0] == "help" {
		printOverview(t.out)
		return nil
	}
	c := find(args[0])
	if c == nil {
		return unknownCommand(args[0])
	}
	c.print(t.out)
	return nil
}

func unknownCommand(name string) error {
	return usagef("there is no command %q", name)
}

func printOverview(w io.Writer) {
	fmt.Fprint(w, `troupe: a replicated map on Raft, built from actors.

Usage:
  troupe COMMAND [arguments] [flags]

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `  help      Tell more about a command: troupe help COMMAND.

Start with "troupe demo". Flags may come before or after the arguments.
Exit codes: 0 done; 1 failed, also when a key is not found; 2 wrong usage; 3 the outcome of a write is unknown;
4 a write is done, but its answer could not be printed.
`)
}
