// Package simulate plays seeds for troupe simulate, in this process or, when they are many, in others.
package simulate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// What a slip of the keyboard can ask for: each seed holds all its groups and clients in memory, on every node.
const (
	maxGroups  = 100
	maxClients = 1000
	maxWorkers = 1024
)

// Seeds are runs of the simulator that differ in the seed only.
type Seeds struct {
	First   uint64
	Count   int
	Workers int // how many are played at a time
	// Options are those of each run. Its seed and its faults are set by the methods.
	Options simulation.Options
	Faults  string // as simulation.ParseFaults reads them
}

// Check says what is wrong, in the words of the flags of troupe simulate.
func (s Seeds) Check() error {
	_, err := s.options()
	return err
}

// options are those of each run.
func (s Seeds) options() (simulation.Options, error) {
	o := s.Options
	faults, err := simulation.ParseFaults(s.Faults)
	switch {
	case err != nil:
		return o, fmt.Errorf("--faults: %w", err)
	case o.Nodes < 0 || o.Nodes > 7:
		return o, errors.New("--nodes must be from 1 to 7")
	case o.Groups < 0 || o.Groups > maxGroups:
		return o, fmt.Errorf("--groups must be from 1 to %d", maxGroups)
	case o.Clients < 1 || o.Clients > maxClients:
		return o, fmt.Errorf("--clients must be from 1 to %d", maxClients)
	case s.Workers < 1 || s.Workers > maxWorkers:
		return o, fmt.Errorf("--workers must be from 1 to %d", maxWorkers)
	case s.Count < 1 || o.Steps < 1:
		return o, errors.New("--seeds and --steps must be at least 1")
	case o.Unsynced < 0 || o.Unsynced > 100:
		return o, errors.New("--unsynced must be from 0 to 100")
	}
	o.Faults = faults
	return o, nil
}

// Run plays the seeds until one fails, which is made smaller and reported. When ctx is done it says how far it came.
func (s Seeds) Run(ctx context.Context, out *screen.Screen) error {
	options, err := s.options()
	if err != nil {
		return err
	}
	all, start := &tally{hits: map[simulation.Fault]int{}}, time.Now()
	stop := out.Progress(func(time.Duration) string { return all.progress(s.Count, time.Since(start)) })
	err = s.play(ctx, options, all)
	stop()
	all.print(out, time.Since(start))
	switch {
	case all.failure != nil:
		return report(ctx, out, *all.failure)
	case err != nil:
		return err
	case all.seeds != s.Count:
		return fmt.Errorf("interrupted after %d of %d seeds: none failed", all.seeds, s.Count)
	}
	return nil
}

// PrintJSON plays the seeds in this process, one by one, until one fails, and prints a line for each.
func (s Seeds) PrintJSON(ctx context.Context, w io.Writer) error {
	options, err := s.options()
	if err != nil {
		return err
	}
	var failed error
	out := json.NewEncoder(w)
	err = s.inProcess(ctx, options, s.First, s.Count, func(r simulation.Result) {
		if err := out.Encode(toJSON(r)); err != nil {
			failed = err
		} else if r.Failure != nil {
			failed = r.Failure
		}
	})
	return cmp.Or(failed, err) // a seed that failed counts, also when the others were not played
}

// play runs the seeds until all are done, one fails, or ctx is done.
func (s Seeds) play(ctx context.Context, options simulation.Options, all *tally) error {
	portion, run := 1, s.inProcess
	if s.Count > seedsPerProcess {
		portion, run = seedsPerProcess, s.asProcess
	}
	next := make(chan int)
	playing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range s.Workers {
		workers.Go(func() {
			for done := range next {
				seeds := min(portion, s.Count-done)
				if err := run(playing, options, s.First+uint64(done), seeds, all.add); err != nil {
					cancel(err)
				}
			}
		})
	}
	for done := 0; done < s.Count && !all.failed() && playing.Err() == nil; done += portion {
		next <- done
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(playing)
}

// report makes a failing seed smaller and says all that is needed to replay it.
func report(ctx context.Context, out *screen.Screen, failing simulation.Result) error {
	out.Print("\nseed %d fails; looking for a smaller run\n", failing.Options.Seed)
	small, ok := wait.Result(ctx, func() simulation.Result { return simulation.Minimise(simulation.Registers(), failing) })
	if !ok {
		small = failing
	}
	for _, line := range small.Failure.Last {
		out.Print("  %s\n", line)
	}
	o := small.Options
	replay := fmt.Sprintf("troupe simulate --seeds 1 --seed %d --nodes %d --groups %d --clients %d --steps %d --faults %s --unsynced %d",
		o.Seed, o.Nodes, o.Groups, o.Clients, o.Steps, o.Faults, o.Unsynced)
	return fmt.Errorf("it does not hold that %s\n%s\nreplay it with: %s", small.Failure.Sentence, small.Failure.Detail, replay)
}
