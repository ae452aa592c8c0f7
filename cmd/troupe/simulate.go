package main

import (
	"context"
	"flag"
	"runtime"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/simulate"
)

func simulateCommand() *command {
	return &command{
		name:    "simulate",
		summary: "Run whole clusters under faults, each from a seed.",
		text: `
Every seed is a cluster of the shipping actors, with real Pebble on disks in memory, in one goroutine: the seed gives the order of
everything, the faults and the workload. The rules of the Raft paper are checked after every message, and at the end the clients'
history must be linearizable. Most clients have sessions, and repeat what has no answer: it takes effect once. A seed that fails is
made smaller, and printed with the sentence that did not hold, the last events, and the command that replays it.
--faults takes all, none, or a list such as loss=0.02,partition,power-loss: rates are probabilities per message for faults of the
network and per election for new-leader, and per second of virtual time for all others.
With --json: one line for each seed, of {"seed","nodes","groups","clients","steps","virtual_seconds","committed","completed",
"snapshots","cuts","installs","repeats","pulses","hits","hash"}. "snapshots", "cuts" and "installs" are those of all nodes;
"repeats" are commands without effect, since an earlier copy had it or their session was gone; "pulses" counts how often a node
spoke for a quiescent leader, "hits" each fault; "hash" is the same for the same run. A seed that fails has
"failure": {"sentence","detail","last"}, and is the last.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var s simulate.Seeds
			o := &s.Options
			flags.IntVar(&s.Count, "seeds", 100, "`number` of seeds to run")
			flags.Uint64Var(&s.First, "seed", 1, "the first `seed`")
			flags.IntVar(&s.Workers, "workers", runtime.GOMAXPROCS(0), "`number` of seeds to run at a time")
			flags.StringVar(&s.Faults, "faults", "all", "`list` of faults")
			flags.IntVar(&o.Nodes, "nodes", 0, "`number` of nodes, 1 to 7 (default mostly 3 or 5, as the seed chooses)")
			flags.IntVar(&o.Groups, "groups", 0, "`number` of groups (default mostly 1, as the seed chooses)")
			flags.IntVar(&o.Clients, "clients", 6, "`number` of clients")
			flags.IntVar(&o.Steps, "steps", 20000, "`number` of messages to handle while faults happen")
			flags.IntVar(&o.Unsynced, "unsynced", 0,
				"`percent` of unsynced data that a power loss keeps; if not 0, runs cannot be replayed exactly")
			asJSON := flags.Bool("json", false,
				"print one JSON object for each seed, and nothing else; all are played in this process, one by one")
			trace := flags.Bool("trace", false, "print every event (with one seed)")
			return func(ctx context.Context, t *terminal, _ []string) error {
				if err := s.Check(); err != nil {
					return usagef("%v", err)
				}
				switch {
				case *trace && (s.Count != 1 || *asJSON):
					return usagef("--trace goes with --seeds 1, and without --json")
				case *trace:
					o.Events = t.out
				case *asJSON:
					return s.PrintJSON(ctx, t.out)
				}
				return s.Run(ctx, screen.New(t.out, t.outIsTerminal))
			}
		},
	}
}
