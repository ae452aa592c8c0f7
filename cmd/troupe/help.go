package main

import (
	"fmt"
	"io"
	"strings"
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
	c, _ := find(args)
	if c == nil {
		return unknownCommand(args)
	}
	c.print(t.out)
	return nil
}

func unknownCommand(args []string) error {
	var family []string
	for _, c := range commands() {
		if first, second, is := strings.Cut(c.name, " "); is && first == args[0] {
			family = append(family, second)
		}
	}
	if len(family) > 0 {
		return usagef("%q is followed by %s", args[0], strings.Join(family, " or "))
	}
	return usagef("there is no command %q", args[0])
}

func printOverview(w io.Writer) {
	fmt.Fprint(w, `troupe: a replicated map on Raft, built from actors.

Usage:
  troupe COMMAND [arguments] [flags]

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-16s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `  help             Tell more about a command: troupe help COMMAND.

Start with "troupe demo". Flags may come before or after the arguments.
Exit codes: 0 done; 1 failed, also when a key is not found; 2 wrong usage; 3 the outcome of a write is unknown;
4 a write is done, but its answer was lost or could not be printed.
`)
}
