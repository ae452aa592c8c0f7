package simulation

import (
	"flag"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 300, "seeds to run")
	first = flag.Uint64("first", 1, "the first seed")
)

// TestSeeds is the quick set; go test -seeds 20000 -first 1000 runs another one, and troupe simulate makes a failing seed smaller.
func TestSeeds(t *testing.T) {
	count := *seeds
	if testing.Short() {
		count = min(count, 40)
	}
	began := time.Now()
	var mu sync.Mutex
	var steps, committed, next int
	hits := map[Fault]int{}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				mu.Lock()
				seed := *first + uint64(next)
				next++
				done := next > count
				mu.Unlock()
				if done || t.Failed() {
					return
				}
				r := Run(Registers(), Options{Seed: seed, Faults: AllFaults()})
				if r.Failure != nil {
					t.Errorf("seed %d of %d nodes: %v\n%s", seed, r.Options.Nodes, r.Failure, strings.Join(r.Failure.Last, "\n"))
				}
				mu.Lock()
				steps += r.Steps
				committed += r.Committed
				for f, n := range r.Hits {
					hits[f] += n
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds, %d steps, %.0f/s, %d committed, %v", count, steps, float64(steps)/time.Since(began).Seconds(), committed, hits)
	if steps > 60*committed {
		t.Errorf("%d steps for %d committed entries: the runs do too little", steps, committed)
	}
	if count >= 300 {
		for f := range AllFaults() {
			if hits[f] == 0 {
				t.Errorf("no run was hit by %s", f)
			}
		}
	}
}

// The same seed gives the same run, to the last message.
func TestASeedReplays(t *testing.T) {
	for seed := range uint64(5) {
		o := Options{Seed: seed, Steps: 5000, Faults: AllFaults()}
		a, b := Run(Registers(), o), Run(Registers(), o)
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Fatalf("seed %d: %x after %d steps, then %x after %d", seed, a.Hash, a.Steps, b.Hash, b.Steps)
		}
		if c := Run(Registers(), Options{Seed: seed + 1000, Steps: 5000, Faults: AllFaults()}); c.Hash == a.Hash {
			t.Fatalf("seeds %d and %d give the same run", seed, seed+1000)
		}
	}
}

// A crash may keep any part of what was not synced. These runs cannot be replayed exactly, but what they recover is checked all the
// same.
// Groups that no client asks for anything make no progress, and need not.
func TestMoreGroupsThanClients(t *testing.T) {
	if r := Run(Registers(), Options{Seed: 1, Groups: 4, Clients: 2, Steps: 2000}); r.Failure != nil {
		t.Error(r.Failure)
	}
}

func TestUnsyncedDataMaySurvive(t *testing.T) {
	for _, percent := range []int{30, 70, 100} {
		for seed := range uint64(10) {
			o := Options{Seed: seed, Steps: 8000, Faults: Faults{PowerLoss: 2, SlowDisk: 0.3}, Unsynced: percent}
			if r := Run(Registers(), o); r.Failure != nil {
				t.Fatalf("seed %d, %d %%: %v\n%s", seed, percent, r.Failure, strings.Join(r.Failure.Last, "\n"))
			}
		}
	}
}
