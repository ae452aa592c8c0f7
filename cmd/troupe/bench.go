package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/bench"
)

func benchCommand() *command {
	return &command{
		name:    "bench",
		summary: "Measure how fast a cluster is.",
		text: `
--local N starts N nodes in this process, with loopback sockets and every write synced to disk, and calls the leader through the
Go API. Without --endpoints it starts three. --endpoints measures a running cluster over its client ports, and writes keys named
00000000 to 00004095 into it: TROUPE_ENDPOINTS is not read, so that no cluster is measured by mistake.
Each client starts its next operation when the last one has ended. Reads are linearizable; mixed is 90 % reads. --op lease reads by
the leader's lease, which answers without asking the others.

With nodes in this process:
--groups G starts G replicated maps on every node, and spreads the clients over them.
--op idle measures what the groups cost when nobody asks: CPU, wake-ups, memory, goroutines.
--rate R starts R operations a second, whether earlier ones have ended or not, in place of --clients; latency counts from when an
operation should have started. At most 200000 are under way. It says whether elections happened and followers heard their leader.
Each has a goroutine that waits; with --mail it is mail to the group's actor, and the reply to it.
--follower stopped stops a node that does not lead after a quarter of the measured time; --follower late starts it only then, and
says how long it took to apply what the leader had committed by that time.
--port calls the client ports with the Go client, in this process.
--sync-time 10ms makes every sync to disk so much slower, by up to 1s.
--recover N writes N values of 16 bytes, stops, starts again, and says how long that took.

--rate works with --endpoints too. Writes go in sessions; --sessions=false leaves them out, and repeats none.
With --json: {"op","clients","value_size","operations","ops_per_second","p50_us","p99_us","p999_us","max_us","errors",
"first_error","seconds","allocs_per_op","alloc_bytes_per_op","cpu_us_per_op","flushes_per_second","other_cores"}, one line for each
number of clients. Allocations and CPU are those of this process. Flushes are those of the disk with the data, for anyone, and
other_cores is what other processes used: 0 where the system does not tell. --groups and --follower add a field each; --op idle,
--rate and --recover have fields of their own.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			b := benchFlags{all: flags}
			b.register()
			return func(ctx context.Context, t *terminal, _ []string) error { return b.run(ctx, t) }
		},
	}
}

// benchFlags are the parts that modes are made of, as the flags say.
type benchFlags struct {
	all      *flag.FlagSet
	local    bench.Local
	remote   remote
	workload bench.Workload
	window   bench.Window
	clients  string
	pace     bench.Pace
	mail     bool
	follower bench.Fate
	entries  int
	sessions bool
	profiles bench.Profiles
	json     bool
}

// opIdle is an --op that is no operation.
const opIdle = "idle"

func (b *benchFlags) register() {
	b.window = bench.Window{Warmup: time.Second, Measure: 10 * time.Second}
	flags := b.all
	b.remote.registerWith(flags, "measure the running cluster whose nodes have the client addresses `HOST:PORT,...`")
	flags.IntVar(&b.local.Nodes, "local", 3, "start this `number` of nodes here and measure them")
	flags.IntVar(&b.local.Groups, "groups", 1, "`number` of replicated maps on every node of --local")
	flags.StringVar(&b.local.Dir, "dir", "", "`directory` on a real disk for the data of --local (default the user's cache directory)")
	flags.Var((*seconds)(&b.local.SyncTime), "sync-time", "let every sync of --local take this `time` longer, as on a slow disk")
	flags.BoolVar(&b.local.Port, "port", false, "call the client ports of --local with a client in this process, and not the Go API")
	flags.BoolVar(&b.sessions, "sessions", true, "write in a session, so that each write takes effect once")
	flags.StringVar((*string)(&b.workload.Op), "op", string(bench.Put), "the `operation`: put, get, mixed, lease or idle")
	flags.IntVar(&b.workload.ValueSize, "value-size", 128, "`bytes` in a value")
	flags.Var((*seconds)(&b.window.Measure), "duration", "`time` to measure")
	flags.Var((*seconds)(&b.window.Warmup), "warmup", "`time` to run before that")
	flags.StringVar(&b.clients, "clients", "256", "`number` of clients, or several, as in 1,64,256")
	flags.Float64Var(&b.pace.Rate, "rate", 0, "start this `number` of operations per second, in place of --clients")
	flags.StringVar((*string)(&b.pace.Arrivals), "arrivals", string(bench.Even), "`spacing` of those of --rate: even or poisson")
	flags.Uint64Var(&b.pace.Seed, "seed", 1, "the random `number` behind --rate")
	flags.BoolVar(&b.mail, "mail", false, "send the operations of --rate by mail between actors, without a goroutine for each")
	flags.StringVar((*string)(&b.follower), "follower", "", "`fate` of a node that does not lead: stopped or late")
	flags.IntVar(&b.entries, "recover", 0, "write this `number` of entries, and measure the start after that")
	flags.StringVar(&b.profiles.CPU, "cpuprofile", "", "write a CPU profile to this `file`")
	flags.StringVar(&b.profiles.Memory, "memprofile", "", "write a profile of allocations to this `file`")
	flags.BoolVar(&b.json, "json", false, "print JSON")
}

// given says whether any of the flags was.
func (b *benchFlags) given(names ...string) bool {
	found := false
	b.all.Visit(func(f *flag.Flag) { found = found || slices.Contains(names, f.Name) })
	return found
}

func (b *benchFlags) run(ctx context.Context, t *terminal) error {
	mode, err := b.mode(t)
	if err != nil {
		return err
	}
	// What the mode does not use must be right, too.
	if err := cmp.Or(mode.Check(), b.window.Check(), bench.Remote{Timeout: b.remote.timeout}.Check()); err != nil {
		return usagef("%v", err)
	}
	out := bench.Output{Results: t.out, Progress: t.err, JSON: b.json}
	if b.json {
		out.Progress = io.Discard // programs read only the results
	}
	if !b.given("local", "endpoints") {
		fmt.Fprintf(out.Progress, "starting %d nodes in this process; --endpoints measures a running cluster\n", b.local.Nodes)
	}
	stop, err := b.profiles.Start()
	if err != nil {
		return err
	}
	defer stop()
	if !b.given("endpoints") {
		defer runtime.KeepAlive(newBallast())
	}
	return mode.Run(ctx, out)
}

// mode is the one that the flags ask for.
func (b *benchFlags) mode(t *terminal) (bench.Mode, error) {
	if err := cmp.Or(b.clash(), b.clashElsewhere()); err != nil {
		return nil, err
	}
	clients, err := b.counts()
	if err != nil {
		return nil, err
	}
	system, err := b.system(t)
	if err != nil {
		return nil, err
	}
	offer := bench.Offer{Workload: b.workload, Window: b.window, Pace: b.pace, Follower: b.follower}
	switch {
	case b.given("recover"):
		size := bench.RecoverValueSize
		if b.given("value-size") {
			size = b.workload.ValueSize
		}
		return bench.Recover{Local: b.local, Entries: b.entries, ValueSize: size}, nil
	case b.workload.Op == opIdle:
		return bench.Idle{Local: b.local, Window: b.window}, nil
	case b.mail:
		return bench.Mail{Local: b.local, Offer: offer}, nil
	case b.given("rate"):
		return bench.Open{System: system, Offer: offer}, nil
	}
	return bench.Closed{System: system, Workload: b.workload, Window: b.window, Clients: clients, Follower: b.follower}, nil
}

func (b *benchFlags) system(t *terminal) (bench.System, error) {
	if b.local.AtMostOnce = !b.sessions; !b.given("endpoints") {
		return b.local, nil
	}
	list, err := b.remote.list(t)
	if err != nil {
		return nil, err
	}
	config, err := b.remote.secure.config(t)
	return bench.Remote{Endpoints: list, Timeout: b.remote.timeout, TLS: config, AtMostOnce: !b.sessions}, err
}

// clash is for flags that make no sense together.
func (b *benchFlags) clash() error {
	idle := b.workload.Op == opIdle
	switch {
	case b.given("rate") && b.given("clients"):
		return usagef("--rate and --clients exclude each other")
	case !b.given("rate") && b.given("arrivals", "seed", "mail"):
		return usagef("--arrivals, --seed and --mail are for --rate: add it")
	case !b.given("endpoints") && b.given("cacert", "cert", "key"):
		return usagef("--cacert, --cert and --key are for --endpoints: add it")
	case idle && b.given("rate", "clients", "value-size", "follower"):
		return usagef("--op idle has no load: leave out --rate, --clients, --value-size and --follower")
	case b.given("port", "sessions") && (idle || b.mail || b.given("recover")):
		return usagef("--port and --sessions are for --clients and --rate: leave out --op idle, --mail and --recover")
	case b.given("recover") && b.given("groups", "op", "rate", "follower"):
		return usagef("--recover writes to one group as fast as it can: leave out --groups, --op, --rate and --follower")
	case b.given("follower") && (b.local.Nodes < 3 || b.local.Groups > 1):
		return usagef("--follower needs a majority without it, and one group: use --local 3 or more, and leave out --groups")
	case b.given("follower") && strings.Contains(b.clients, ","):
		return usagef("--follower is for one run: give --clients one number")
	}
	return nil
}

// clashElsewhere is for what a cluster cannot show that does not run in this process.
func (b *benchFlags) clashElsewhere() error {
	switch {
	case !b.given("endpoints"):
		return nil
	case b.given("local"):
		return usagef("--local and --endpoints exclude each other")
	case b.remote.endpoints == "":
		return usagef("--endpoints is empty: name client addresses, as HOST:PORT,..., or leave it out to measure nodes in this process")
	case b.workload.Op == opIdle:
		return usagef("--op idle needs nodes in this process: leave out --endpoints")
	}
	for _, name := range []string{"groups", "follower", "recover", "mail", "sync-time", "port"} {
		if b.given(name) {
			return usagef("--%s needs nodes in this process: leave out --endpoints", name)
		}
	}
	return nil
}

// counts are those of --clients.
func (b *benchFlags) counts() ([]int, error) {
	var counts []int
	for _, part := range strings.Split(b.clients, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > bench.MaxClients {
			return nil, usagef("--clients %q is not a number from 1 to %d, or several separated by commas", b.clients, bench.MaxClients)
		}
		counts = append(counts, n)
	}
	return counts, nil
}
