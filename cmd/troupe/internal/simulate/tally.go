package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/cluster/simulation"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/screen"
)

// tally is what all seeds together came to.
type tally struct {
	mu                      sync.Mutex
	seeds, steps, committed int
	completed               int
	snapshots, cuts         int
	installs, pulses        int
	hits                    map[simulation.Fault]int
	failure                 *simulation.Result
}

func (a *tally) add(r simulation.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seeds++
	a.steps += r.Steps
	a.committed += r.Committed
	a.completed += r.Completed
	a.snapshots += r.Snapshots
	a.cuts += r.Cuts
	a.installs += r.Installs
	a.pulses += r.Pulses
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

func (a *tally) print(out *screen.Screen, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out.Print("%d seeds, %d steps (%.0f/s), %d entries committed, %d operations completed\n", a.seeds, a.steps,
		float64(a.steps)/took.Seconds(), a.committed, a.completed)
	out.Print("%d snapshots, %d cuts, %d installs, %d pulses\n", a.snapshots, a.cuts, a.installs, a.pulses)
	for _, f := range slices.Sorted(maps.Keys(a.hits)) {
		out.Print("  %-15s %8d\n", f, a.hits[f])
	}
}
