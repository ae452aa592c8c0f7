package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

func benchCommand() *command {
	return &command{
		name:    "bench",
		summary: "Measure how fast a cluster is.",
		text: `
--local N starts N nodes in this process, with loopback sockets and every write synced to disk, and calls the leader through the
Go API. --endpoints measures a running cluster over its client ports; it writes keys named 00000000 to 00004095.
Each client starts its next operation when the last one has ended. Reads are linearizable; mixed is 90 % reads.
With --json: {"ops_per_second","p50_us","p99_us","p999_us","errors","seconds"}, one line for each number of clients.
--peerbench prints the JSON lines of the peerbench tool, and takes its flags -op -clients -value -seconds -warmup -dir.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			o := benchOptions{duration: seconds(10 * time.Second), warmup: seconds(time.Second)}
			o.register(flags)
			return func(ctx context.Context, t *terminal, _ []string) error { return o.run(ctx, t) }
		},
	}
}

type benchOptions struct {
	local       int
	remote      remote
	op, clients string
	valueSize   int
	duration    seconds
	warmup      seconds
	dir         string
	json        bool
	peerbench   bool
	cpuProfile  string
	memProfile  string
}

func (o *benchOptions) register(flags *flag.FlagSet) {
	o.remote.register(flags)
	flags.IntVar(&o.local, "local", 0, "start this `number` of nodes here and measure them")
	flags.StringVar(&o.op, "op", "put", "the `operation`: put, get or mixed")
	flags.StringVar(&o.clients, "clients", "256", "`number` of clients, or several: 1,64,256")
	flags.IntVar(&o.valueSize, "value-size", 128, "`bytes` in a value")
	flags.IntVar(&o.valueSize, "value", 128, hidden)
	flags.Var(&o.duration, "duration", "`time` to measure")
	flags.Var(&o.duration, "seconds", hidden)
	flags.Var(&o.warmup, "warmup", "`time` to run before that")
	flags.StringVar(&o.dir, "dir", "", "`directory` on a real disk for the data of --local (default the user's cache directory)")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.BoolVar(&o.peerbench, "peerbench", false, "print JSON lines as peerbench does")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to this `file`")
	flags.StringVar(&o.memProfile, "memprofile", "", "write a profile of allocations to this `file`")
}

// maxClients bounds what a slip of the keyboard can start.
const maxClients = 100_000

func (o *benchOptions) counts() ([]int, error) {
	var counts []int
	for _, part := range strings.Split(o.clients, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > maxClients {
			return nil, usagef("--clients %q is not a number from 1 to %d, or several separated by commas", o.clients, maxClients)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func (o *benchOptions) check() error {
	switch {
	case o.local < 0 || o.local > 9:
		return usagef("--local takes 1 to 9 nodes")
	case o.local > 0 && o.remote.endpoints != "":
		return usagef("--local and --endpoints exclude each other")
	case o.valueSize < 0:
		return usagef("--value-size must not be negative")
	case o.duration <= 0:
		return usagef("--duration must be more than 0")
	case o.remote.timeout <= 0:
		return usagef("--timeout must be more than 0, such as 5s")
	case operations[o.op] == nil:
		return usagef("--op %q is not one of put, get, mixed", o.op)
	}
	return nil
}

func (o *benchOptions) run(ctx context.Context, t *terminal) error {
	if err := o.check(); err != nil {
		return err
	}
	counts, err := o.counts()
	if err != nil {
		return err
	}
	stop, err := startProfiles(o.cpuProfile, o.memProfile)
	if err != nil {
		return err
	}
	defer stop()

	system, err := o.open(ctx, t)
	if err != nil {
		return err
	}
	defer system.close()
	if err := preload(ctx, system); err != nil {
		return fmt.Errorf("cannot write the keys: %w", err)
	}
	for _, count := range counts {
		if !o.json && !o.peerbench {
			fmt.Fprintf(t.err, "measuring %s with %d clients for %v\n", o.op, count, time.Duration(o.duration))
		}
		before := system.leader()
		plan := load.Plan{Warmup: time.Duration(o.warmup), Measure: time.Duration(o.duration), Dir: system.dir}
		report := load.Run(ctx, plan, benchClients(system, operations[o.op], count, o.valueSize))
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted")
		}
		note := ""
		if system.leader() != before {
			note = "the leader changed"
		}
		if err := o.print(t.out, report, note); err != nil {
			return err
		}
		if report.Ops == 0 {
			return fmt.Errorf("no operation succeeded: %w", report.FirstError)
		}
	}
	return nil
}
