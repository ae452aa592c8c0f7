package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCountsTheWindowOnly(t *testing.T) {
	start := time.Now()
	failure := errors.New("no")
	var garbage atomic.Pointer[[100 << 10]byte]
	work := func(context.Context) error {
		time.Sleep(time.Millisecond)
		garbage.Store(new([100 << 10]byte))
		return nil
	}
	fail := func(context.Context) error { return failure }
	r := Run(t.Context(), Plan{Warmup: 100 * time.Millisecond, Measure: 200 * time.Millisecond, Dir: t.TempDir()},
		[]func(context.Context) error{work, work, fail})
	if r.Clients != 3 || r.Ops == 0 || r.Ops > 2*220 || r.Errors == 0 || r.Errors > 220 || r.FirstError != failure {
		t.Errorf("%d ops, %d errors, first %v", r.Ops, r.Errors, r.FirstError)
	}
	if p50 := r.Latency.Quantile(0.5); p50 < time.Millisecond {
		t.Errorf("median %v of calls that take a millisecond", p50)
	}
	if r.Elapsed < 200*time.Millisecond || r.Elapsed > time.Since(start)-100*time.Millisecond {
		t.Errorf("elapsed %v", r.Elapsed)
	}
	if r.Objects < r.Ops || r.Bytes < r.Ops*100<<10 {
		t.Errorf("%d objects and %d bytes were counted for %d operations", r.Objects, r.Bytes, r.Ops)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	client := func(context.Context) error {
		if calls.Add(1) == 10 {
			cancel()
		}
		return nil
	}
	start := time.Now()
	Run(ctx, Plan{Measure: time.Minute}, []func(context.Context) error{client})
	if time.Since(start) > 10*time.Second {
		t.Error("the run went on")
	}
}
