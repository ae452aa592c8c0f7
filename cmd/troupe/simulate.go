package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

func simulateCommand() *command {
	return &command{
		name:    "simulate",
		summary: "Run whole clusters under faults, each from a seed.",
		text: `
Every seed is a cluster of the shipping actors, with real Pebble on disks in memory, in one goroutine: the seed gives the order of
everything, the faults and the workload. The rules of the Raft paper are checked after every message, and at the end the clients'
history must be linearizable. A seed that fails is made smaller, and printed with the sentence that did not hold, the last events,
and the command that replays it.
--faults takes all, none, or a list such as loss=0.02,partition,power-loss: rates are probabilities per message for faults of the
network and per election for new-leader, and per second of virtual time for all others.
With --json: {"seed","nodes","groups","clients","steps","virtual_seconds","committed","completed","hits","hash"}, one line for each
seed. "hits" counts each fault; "hash" is the same for the same run. A seed that fails has "failure": {"sentence","detail","last"},
and is the last.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			o := simulateOptions{}
			flags.IntVar(&o.seeds, "seeds", 100, "`number` of seeds to run")
			flags.Uint64Var(&o.first, "seed", 1, "the first `seed`")
			flags.IntVar(&o.nodes, "nodes", 0, "`number` of nodes, 1 to 7 (default mostly 3 or 5, as the seed chooses)")
			flags.IntVar(&o.groups, "groups", 0, "`number` of groups (default mostly 1, as the seed chooses)")
			flags.IntVar(&o.clients, "clients", 6, "`number` of clients")
			flags.IntVar(&o.steps, "steps", 20000, "`number` of messages to handle while faults happen")
			flags.StringVar(&o.faults, "faults", "all", "`list` of faults")
			flags.IntVar(&o.unsynced, "unsynced", 0, "`percent` of unsynced data that a power loss keeps; if not 0, runs cannot be replayed exactly")
			flags.BoolVar(&o.json, "json", false, "print one JSON object for each seed, and nothing else; all are played in this process, one by one")
			flags.BoolVar(&o.trace, "trace", false, "print every event (with one seed)")
			flags.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "`number` of seeds to run at a time")
			return func(ctx context.Context, t *terminal, _ []string) error { return o.run(ctx, t) }
		},
	}
}

// What a slip of the keyboard can ask for: each seed holds all its groups and clients in memory, on every node.
const (
	maxSimulatedGroups  = 100
	maxSimulatedClients = 1000
	maxWorkers          = 1024
)

type simulateOptions struct {
	seeds                         int
	first                         uint64
	nodes, groups, clients, steps int
	faults                        string
	unsynced                      int
	json, trace                   bool
	workers                       int
}

func (o *simulateOptions) options() (simulation.Options, error) {
	faults, err := simulation.ParseFaults(o.faults)
	switch {
	case err != nil:
		return simulation.Options{}, usagef("--faults: %v", err)
	case o.nodes < 0 || o.nodes > 7:
		return simulation.Options{}, usagef("--nodes must be from 1 to 7")
	case o.groups < 0 || o.groups > maxSimulatedGroups:
		return simulation.Options{}, usagef("--groups must be from 1 to %d", maxSimulatedGroups)
	case o.clients < 1 || o.clients > maxSimulatedClients:
		return simulation.Options{}, usagef("--clients must be from 1 to %d", maxSimulatedClients)
	case o.workers < 1 || o.workers > maxWorkers:
		return simulation.Options{}, usagef("--workers must be from 1 to %d", maxWorkers)
	case o.seeds < 1 || o.steps < 1:
		return simulation.Options{}, usagef("--seeds and --steps must be at least 1")
	case o.unsynced < 0 || o.unsynced > 100:
		return simulation.Options{}, usagef("--unsynced must be from 0 to 100")
	case o.trace && (o.seeds != 1 || o.json):
		return simulation.Options{}, usagef("--trace goes with --seeds 1, and without --json")
	}
	return simulation.Options{Nodes: o.nodes, Groups: o.groups, Clients: o.clients, Steps: o.steps, Faults: faults, Unsynced: o.unsynced}, nil
}

// tally is what all seeds together came to.
type tally struct {
	mu                      sync.Mutex
	seeds, steps, committed int
	completed               int
	hits                    map[simulation.Fault]int
	failure                 *simulation.Result
}

func (o *simulateOptions) run(ctx context.Context, t *terminal) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	if o.trace {
		options.Events = t.out
	}
	if o.json {
		return o.printJSON(ctx, t, options)
	}
	all := &tally{hits: map[simulation.Fault]int{}}
	s, start := newScreen(t), time.Now()
	stop := s.progress(func(time.Duration) string { return all.progress(o.seeds, time.Since(start)) })
	err = o.play(ctx, options, all)
	stop()
	all.print(s, time.Since(start))
	switch {
	case all.failure != nil:
		return report(ctx, s, *all.failure)
	case err != nil:
		return err
	case all.seeds != o.seeds:
		return fmt.Errorf("%w after %d of %d seeds: none failed", errInterrupted, all.seeds, o.seeds)
	}
	return nil
}

func (o *simulateOptions) printJSON(ctx context.Context, t *terminal, options simulation.Options) error {
	var failed error
	out := json.NewEncoder(t.out)
	err := o.inProcess(ctx, options, o.first, o.seeds, func(r simulation.Result) {
		if err := out.Encode(toJSON(r)); err != nil {
			failed = err
		} else if r.Failure != nil {
			failed = r.Failure
		}
	})
	return cmp.Or(failed, err) // a seed that failed counts, also when the others were not played
}

// play runs the seeds until all are done, one fails, or ctx is done.
func (o *simulateOptions) play(ctx context.Context, options simulation.Options, all *tally) error {
	portion, run := 1, o.inProcess
	if o.seeds > seedsPerProcess {
		portion, run = seedsPerProcess, o.asProcess
	}
	next := make(chan int)
	playing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range o.workers {
		workers.Go(func() {
			for done := range next {
				seeds := min(portion, o.seeds-done)
				if err := run(playing, options, o.first+uint64(done), seeds, all.add); err != nil {
					cancel(err)
				}
			}
		})
	}
	for done := 0; done < o.seeds && !all.failed() && playing.Err() == nil; done += portion {
		next <- done
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(playing)
}

func (a *tally) add(r simulation.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seeds++
	a.steps += r.Steps
	a.committed += r.Committed
	a.completed += r.Completed
	for f, n := range r.Hits {
		a.hits[f] += n
	}
	if r.Failure != nil && (a.failure == nil || r.Options.Seed < a.failure.Options.Seed) {
		a.failure = &r
	}
}

func (a *tally) failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure != nil
}

func (a *tally) progress(of int, took time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	const width = 30
	done := width * a.seeds / of
	bar := strings.Repeat("#", done) + strings.Repeat(".", width-done)
	return fmt.Sprintf("[%s] %d of %d seeds, %.0f steps/s", bar, a.seeds, of, float64(a.steps)/took.Seconds())
}

func (a *tally) print(s *screen, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.print("%d seeds, %d steps (%.0f/s), %d entries committed, %d operations completed\n", a.seeds, a.steps,
		float64(a.steps)/took.Seconds(), a.committed, a.completed)
	for _, f := range slices.Sorted(maps.Keys(a.hits)) {
		s.print("  %-15s %8d\n", f, a.hits[f])
	}
}

// report makes a failing seed smaller and says all that is needed to replay it.
func report(ctx context.Context, s *screen, failing simulation.Result) error {
	s.print("\nseed %d fails; looking for a smaller run\n", failing.Options.Seed)
	small, ok := wait.Result(ctx, func() simulation.Result { return simulation.Minimise(simulation.Registers(), failing) })
	if !ok {
		small = failing
	}
	for _, line := range small.Failure.Last {
		s.print("  %s\n", line)
	}
	o := small.Options
	return fmt.Errorf("it does not hold that %s\n%s\nreplay it with: troupe simulate --seeds 1 --seed %d --nodes %d --groups %d --clients %d --steps %d --faults %s --unsynced %d",
		small.Failure.Sentence, small.Failure.Detail, o.Seed, o.Nodes, o.Groups, o.Clients, o.Steps, o.Faults, o.Unsynced)
}
