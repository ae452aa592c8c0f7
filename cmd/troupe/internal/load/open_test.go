package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

func TestSchedules(t *testing.T) {
	for _, poisson := range []bool{false, true} {
		s, again := newSchedule(1000, poisson, 3), newSchedule(1000, poisson, 3)
		count, last, steps := 0, time.Duration(0), map[time.Duration]bool{}
		for at := s.next(); at < 10*time.Second; at = s.next() {
			if at < last || at != again.next() {
				t.Fatalf("start %d at %v follows %v, and differs from the same seed's", count, at, last)
			}
			steps[(at - last).Round(time.Microsecond)] = true
			count, last = count+1, at
		}
		if count < 9_600 || count > 10_400 || poisson != (len(steps) > 100) {
			t.Errorf("poisson %v: %d starts in ten seconds at 1000 per second, %d distances", poisson, count, len(steps))
		}
	}
}

var errFull, errOther = errors.New("full"), errors.New("other")

// runOpen runs calls that wait.
func runOpen(ctx context.Context, plan OpenPlan, call func(*rand.Rand) error) *OpenReport {
	start, stop := Workers(call)
	defer stop()
	return RunOpen(ctx, plan, start)
}

func openPlan(rate float64, outstanding int) OpenPlan {
	return OpenPlan{
		Plan: Plan{Warmup: 50 * time.Millisecond, Measure: 200 * time.Millisecond}, Rate: rate, Seed: 1, Outstanding: outstanding,
		Overloaded: func(err error) bool { return errors.Is(err, errFull) },
	}
}

func TestRunOpenCountsEveryOperationOnce(t *testing.T) {
	var calls atomic.Uint64
	began, ended := 0, 0
	plan := openPlan(2000, 100)
	plan.Begin, plan.End = func() { began++ }, func() { ended++ }
	r := runOpen(t.Context(), plan, func(random *rand.Rand) error {
		calls.Add(1)
		switch random.IntN(4) {
		case 0:
			return errFull
		case 1:
			return errOther
		}
		return nil
	})
	if r.Offered != 400 || r.Ops+r.Overloaded+r.Errors+r.NotStarted != r.Offered {
		t.Errorf("%d offered; %d done, %d overloaded, %d errors, %d not started", r.Offered, r.Ops, r.Overloaded, r.Errors, r.NotStarted)
	}
	// On a machine that stalls, all of the measured time may pass before anything starts.
	if started := r.Offered - r.NotStarted; started > 50 && (r.Ops == 0 || r.Overloaded == 0 || r.Errors == 0 || r.FirstError != errOther) {
		t.Errorf("of %d: %d done, %d overloaded, %d errors, the first %v", started, r.Ops, r.Overloaded, r.Errors, r.FirstError)
	}
	if r.Latency.Count() != r.Ops || r.Achieved > r.Ops+100 {
		t.Errorf("%d done, %d latencies, %d in time", r.Ops, r.Latency.Count(), r.Achieved)
	}
	if began != 1 || ended != 1 || calls.Load() < r.Ops+r.Overloaded+r.Errors {
		t.Errorf("began %d times, ended %d times, %d calls", began, ended, calls.Load())
	}
}

// One operation may be under way, and each takes five times what lies between two starts.
func TestRunOpenIsBounded(t *testing.T) {
	var now, most atomic.Int64
	r := runOpen(t.Context(), openPlan(1000, 1), func(*rand.Rand) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		return nil
	})
	if most.Load() != 1 || r.MostUnderWay != 1 || r.NotStarted < r.Offered/2 || r.Ops+r.NotStarted != r.Offered || r.Ops > 45 {
		t.Errorf("%d at a time, %d at most; %d done and %d not started of %d", most.Load(), r.MostUnderWay, r.Ops, r.NotStarted, r.Offered)
	}
}

// Whatever is late, it shows: an operation that takes 30 ms is never counted with less.
func TestRunOpenLatencyIsFromTheIntendedStart(t *testing.T) {
	r := runOpen(t.Context(), openPlan(200, 100), func(*rand.Rand) error {
		time.Sleep(30 * time.Millisecond)
		return nil
	})
	if r.Ops > 0 && r.Latency.Quantile(0) < 30*time.Millisecond || r.Ops+r.NotStarted != r.Offered || r.Offered != 40 {
		t.Errorf("least %v, %d of %d", r.Latency.Quantile(0), r.Ops, r.Offered)
	}
}

func TestRunOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := openPlan(1000, 10)
	plan.Measure = time.Minute
	begin := time.Now()
	runOpen(ctx, plan, func(*rand.Rand) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if time.Since(begin) > 10*time.Second {
		t.Error("the run went on")
	}
}
