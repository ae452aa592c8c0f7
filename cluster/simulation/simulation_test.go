package simulation

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 20, "seeds to run")
	kept  = flag.Int("trace", 60, "events to keep")
	first = flag.Uint64("first", 1, "the first seed")
)

func TestSeeds(t *testing.T) {
	began, steps, committed := time.Now(), 0, 0
	hits := map[Fault]int{}
	for i := range *seeds {
		r := Run(Registers(), Options{Seed: *first + uint64(i), Faults: AllFaults(), Trace: *kept})
		if r.Failure != nil {
			for _, line := range r.Failure.Last {
				fmt.Println(line)
			}
			t.Fatalf("seed %d: %v", r.Options.Seed, r.Failure)
		}
		steps += r.Steps
		committed += r.Committed
		for f, n := range r.Hits {
			hits[f] += n
		}
	}
	t.Logf("%d steps, %.0f/s, %d committed, %v", steps, float64(steps)/time.Since(began).Seconds(), committed, hits)
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
