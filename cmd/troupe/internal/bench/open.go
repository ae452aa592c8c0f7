package bench

import (
	"cmp"
	"context"
	"math/rand/v2"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// Open measures an Offer whose operations are calls, each with a goroutine that waits.
type Open struct {
	System System
	Offer
}

// Check implements Mode.
func (o Open) Check() error {
	return cmp.Or(o.System.Check(), o.Offer.check())
}

// Run implements Mode.
func (o Open) Run(ctx context.Context, out Output) error {
	s, err := o.System.open(ctx, out)
	if err != nil {
		return err
	}
	defer s.close()
	do := o.caller(s)
	start, stop := load.Workers(func(random *rand.Rand) error {
		return do(ctx, s.targets[random.IntN(len(s.targets))], random)
	})
	defer stop()
	return o.measure(ctx, out, s, start)
}
