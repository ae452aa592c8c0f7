package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
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
Go API. Without --endpoints it starts three. --endpoints measures a running cluster over its client ports, and writes keys named
00000000 to 00004095 into it: TROUPE_ENDPOINTS is not read, so that no cluster is measured by mistake.
Each client starts its next operation when the last one has ended. Reads are linearizable; mixed is 90 % reads.

With nodes in this process:
--groups G starts G replicated maps on every node, and spreads the clients over them.
--op idle measures what the groups cost when nobody asks: CPU, wake-ups, memory, goroutines.
--rate R starts R operations a second, whether earlier ones have ended or not, in place of --clients; latency counts from when an
operation should have started. At most 200000 are under way. It says whether elections happened and followers heard their leader.
Each has a goroutine that waits; with --mail it is mail to the group's actor, and the reply to it.
--follower stopped stops a node that does not lead after a quarter of the measured time; --follower late starts it only then, and
says how long it took to apply what the leader had committed by that time.
--sync-time 10ms makes every sync to disk so much slower, by up to 1s.
--recover N writes N values of 16 bytes, stops, starts again, and says how long that took.

--rate works with --endpoints too.
With --json: {"op","clients","value_size","operations","ops_per_second","p50_us","p99_us","p999_us","max_us","errors",
"first_error","seconds","allocs_per_op","alloc_bytes_per_op","cpu_us_per_op","flushes_per_second","other_cores"}, one line for each
number of clients. Allocations and CPU are those of this process. Flushes are those of the disk with the data, for anyone, and
other_cores is what other processes used: 0 where the system does not tell. --groups and --follower add a field each; --op idle,
--rate and --recover have fields of their own.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			o := benchOptions{duration: seconds(10 * time.Second), warmup: seconds(time.Second)}
			o.register(flags)
			return func(ctx context.Context, t *terminal, _ []string) error {
				o.given = map[string]bool{}
				flags.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
				return o.run(ctx, t)
			}
		},
	}
}

type benchOptions struct {
	local       int
	groups      int
	remote      remote
	op, clients string
	valueSize   int
	duration    seconds
	warmup      seconds
	dir         string
	json        bool
	cpuProfile  string
	memProfile  string

	rate     float64
	arrivals string
	seed     uint64
	mail     bool
	follower string
	recover  int
	syncTime seconds

	given map[string]bool // the flags that were given
}

func (o *benchOptions) register(flags *flag.FlagSet) {
	o.remote.registerWith(flags, "measure the running cluster whose nodes have the client addresses `HOST:PORT,...`")
	flags.IntVar(&o.local, "local", 0, "start this `number` of nodes here and measure them (default 3, without --endpoints)")
	flags.StringVar(&o.op, "op", "put", "the `operation`: put, get, mixed or idle")
	flags.IntVar(&o.groups, "groups", 1, "`number` of replicated maps on every node of --local")
	flags.Float64Var(&o.rate, "rate", 0, "start this `number` of operations per second, in place of --clients")
	flags.StringVar(&o.arrivals, "arrivals", arrivalsEven, "`spacing` of those of --rate: even or poisson")
	flags.Uint64Var(&o.seed, "seed", 1, "the random `number` behind --rate")
	flags.BoolVar(&o.mail, "mail", false, "send the operations of --rate by mail between actors, without a goroutine for each")
	flags.StringVar(&o.follower, "follower", "", "`fate` of a node that does not lead: stopped or late")
	flags.IntVar(&o.recover, "recover", 0, "write this `number` of entries, and measure the start after that")
	flags.Var(&o.syncTime, "sync-time", "let every sync of --local take this `time` longer, as on a slow disk")
	flags.StringVar(&o.clients, "clients", "256", "`number` of clients, or several, as in 1,64,256")
	flags.IntVar(&o.valueSize, "value-size", 128, "`bytes` in a value")
	flags.Var(&o.duration, "duration", "`time` to measure")
	flags.Var(&o.warmup, "warmup", "`time` to run before that")
	flags.StringVar(&o.dir, "dir", "", "`directory` on a real disk for the data of --local (default the user's cache directory)")
	flags.BoolVar(&o.json, "json", false, "print JSON")
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

func (o *benchOptions) run(ctx context.Context, t *terminal) error {
	if o.local == 0 && !o.given["local"] && !o.given["endpoints"] {
		o.local = 3
	}
	if err := o.check(); err != nil {
		return err
	}
	counts, err := o.counts()
	if err != nil {
		return err
	}
	if !o.given["local"] && o.local > 0 {
		o.progress(t, "starting %d nodes in this process; --endpoints measures a running cluster", o.local)
	}
	stop, err := startProfiles(o.cpuProfile, o.memProfile)
	if err != nil {
		return err
	}
	defer stop()
	if o.local > 0 {
		defer runtime.KeepAlive(newBallast())
	}
	if o.recover > 0 {
		return o.runRecover(ctx, t)
	}

	system, err := o.open(ctx, t)
	if err != nil {
		return err
	}
	defer system.close()
	if o.groups > 1 {
		o.progress(t, "%d groups on %d nodes started in %.1f s and had leaders after %.1f s: %s",
			o.groups, o.local, system.started.Seconds(), system.led.Seconds(), system.spread(ctx))
	}
	if o.op == opIdle {
		return o.runIdle(ctx, t, system)
	}
	if err := preload(ctx, system); err != nil {
		return fmt.Errorf("cannot write the keys: %w", err)
	}
	f, err := o.newFollower(ctx, system)
	if err != nil {
		return err
	}
	if o.rate > 0 {
		return o.runOpen(ctx, t, system, f)
	}
	for _, count := range counts {
		if err := o.runClients(ctx, t, system, f, count); err != nil {
			return err
		}
	}
	return nil
}

// runClients measures clients in a closed loop.
func (o *benchOptions) runClients(ctx context.Context, t *terminal, s *system, f *follower, count int) error {
	o.progress(t, "measuring %s with %d clients for %v", o.op, count, time.Duration(o.duration))
	before := s.leaders(ctx)
	plan := load.Plan{Warmup: time.Duration(o.warmup), Measure: time.Duration(o.duration), Dir: s.dir, Begin: func() { f.begin(ctx) }}
	report := load.Run(ctx, plan, benchClients(s, operations[o.op], count, o.valueSize))
	if ctx.Err() != nil {
		return errInterrupted
	}
	fate, err := f.result()
	if err != nil {
		return err
	}
	if err := o.print(t.out, report, fate, s.leadersChanged(ctx, before)); err != nil {
		return err
	}
	if report.Ops == 0 {
		return fmt.Errorf("no operation succeeded: %w", report.FirstError)
	}
	return nil
}

// progress tells people what goes on; programs read only the results.
func (o *benchOptions) progress(t *terminal, format string, args ...any) {
	if !o.json {
		fmt.Fprintf(t.err, format+"\n", args...)
	}
}
