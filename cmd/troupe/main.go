// Command troupe runs and uses a troupe cluster: a Raft cluster built from Proto.Actor actors. "troupe help" lists what it can do.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, outIsTerminal: isTerminal(os.Stdout)}
	os.Exit(run(ctx, t, os.Args[1:]))
}

// terminal is what a command sees of the world.
type terminal struct {
	in            io.Reader
	out, err      io.Writer
	env           func(string) string
	outIsTerminal bool
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// commands in the order in which help lists them. It is a function because help itself needs the list.
func commands() []*command {
	return []*command{
		demoCommand(), serveCommand(),
		putCommand(), getCommand(), deleteCommand(), casCommand(), statusCommand(),
		memberListCommand(), memberRemoveCommand(), memberPromoteCommand(), memberDemoteCommand(), memberUpdateCommand(),
		transferLeaderCommand(),
		snapshotSaveCommand(), snapshotInspectCommand(), snapshotRestoreCommand(), logDumpCommand(), checkCommand(), recoverCommand(),
		benchCommand(), simulateCommand(), versionCommand(),
	}
}

// find returns the command whose name args begin with, and what follows the name; nil when there is none.
func find(args []string) (*command, []string) {
	for _, c := range commands() {
		name := strings.Fields(c.name)
		if len(args) >= len(name) && slices.Equal(args[:len(name)], name) {
			return c, args[len(name):]
		}
	}
	return nil, nil
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, t *terminal, args []string) int {
	if len(args) == 0 {
		printOverview(t.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return exitOf(t, "troupe", help(t, args[1:]))
	case "-v", "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	c, rest := find(args)
	if c == nil {
		return exitOf(t, "troupe", unknownCommand(args))
	}
	return exitOf(t, "troupe "+c.name, interrupted(ctx, c.execute(ctx, t, rest)))
}
