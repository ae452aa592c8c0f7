package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// Offer is operations that start at a rate, whether earlier ones have ended or not. Each goes to a group that is drawn evenly.
type Offer struct {
	Workload Workload
	Window   Window
	Pace     Pace
	Follower Fate
}

// Pace says when operations start.
type Pace struct {
	Rate     float64 // a second
	Arrivals Arrivals
	Seed     uint64 // of everything that is drawn
}

// Arrivals is how the starts are spaced.
type Arrivals string

// The spacings.
const (
	Even    Arrivals = "even"
	Poisson Arrivals = "poisson"
)

// maxRate is more than one process can start, and maxOutstanding as many operations as may wait: a goroutine each.
const (
	maxRate        = 10_000_000
	maxOutstanding = 200_000
)

// Check says what is wrong.
func (p Pace) Check() error {
	switch {
	case !(p.Rate > 0 && p.Rate <= maxRate): // nor is it NaN
		return fmt.Errorf("--rate takes more than 0 and up to %d operations per second", maxRate)
	case p.Arrivals != Even && p.Arrivals != Poisson:
		return fmt.Errorf("--arrivals %q is not one of even, poisson", string(p.Arrivals))
	}
	return nil
}

func (o Offer) check() error {
	return cmp.Or(o.Workload.Check(), o.Window.Check(), o.Pace.Check(), o.Follower.Check())
}

// caller is the workload's, with a value that depends on the seed alone.
func (o Offer) caller(s *system) func(context.Context, target, *rand.Rand) error {
	return o.Workload.caller(len(s.targets), rand.New(rand.NewPCG(o.Pace.Seed, 7)))
}

// measure starts operations at the rate, and watches the servers meanwhile, if they are in this process.
func (o Offer) measure(ctx context.Context, out Output, s *system, start load.Starter) error {
	if err := preload(ctx, s); err != nil {
		return err
	}
	f, err := o.Follower.choose(ctx, s, o.Window.Measure)
	if err != nil {
		return err
	}
	out.say("offering %g %s/s for %v", o.Pace.Rate, o.Workload.Op, o.Window.Measure)
	var watched *watchJSON
	plan := o.plan()
	plan.Begin = func() { f.begin(ctx) }
	if s.cluster != nil {
		w := newWatch(s.cluster, o.Workload.Op != Get && o.Workload.Op != Lease)
		plan.Begin = func() { f.begin(ctx); w.start() }
		plan.End = func() { watched = w.stop() }
	}
	load.ResetPeak()
	report := load.RunOpen(ctx, plan, start)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	line := o.line(report, len(s.targets))
	line.Watch = watched
	if line.Follower, err = f.result(); err != nil {
		return err
	}
	if err := out.print(line); err != nil {
		return err
	}
	if report.Ops+report.Achieved == 0 {
		return fmt.Errorf("no operation succeeded: %w", cmp.Or(report.FirstError, actors.ErrOverloaded))
	}
	return nil
}

func (o Offer) plan() load.OpenPlan {
	return load.OpenPlan{
		Plan: load.Plan{Warmup: o.Window.Warmup, Measure: o.Window.Measure},
		Rate: o.Pace.Rate, Poisson: o.Pace.Arrivals == Poisson, Seed: o.Pace.Seed, Outstanding: maxOutstanding,
		Overloaded: func(err error) bool { return errors.Is(err, actors.ErrOverloaded) },
	}
}

// offerJSON is what was offered, and what became of it.
type offerJSON struct {
	Offered      float64       `json:"offered_per_second"`
	Achieved     float64       `json:"achieved_per_second"`
	P50          microseconds  `json:"p50_us"`
	P99          microseconds  `json:"p99_us"`
	P999         microseconds  `json:"p999_us"`
	Max          microseconds  `json:"max_us"`
	Overloaded   uint64        `json:"overloaded"`
	Errors       uint64        `json:"errors"`
	NotStarted   uint64        `json:"not_started"`
	MostUnderWay int64         `json:"most_under_way"`
	LateUS       microseconds  `json:"late_us"`
	Seconds      float64       `json:"seconds"`
	Groups       int           `json:"groups"`
	PeakResident uint64        `json:"peak_resident_bytes"`
	Watch        *watchJSON    `json:"watch,omitempty"`
	Follower     *followerJSON `json:"follower,omitempty"`
	FirstError   string        `json:"first_error,omitempty"`

	op Operation
}

func (o Offer) line(r *load.OpenReport, groups int) *offerJSON {
	seconds := r.Elapsed.Seconds()
	return &offerJSON{
		Offered: float64(r.Offered) / seconds, Achieved: float64(r.Achieved) / seconds,
		P50: microsecondsOf(r.Latency.Quantile(0.5)), P99: microsecondsOf(r.Latency.Quantile(0.99)),
		P999: microsecondsOf(r.Latency.Quantile(0.999)), Max: microsecondsOf(r.Latency.Max()),
		Overloaded: r.Overloaded, Errors: r.Errors, NotStarted: r.NotStarted, MostUnderWay: r.MostUnderWay, LateUS: microsecondsOf(r.Late),
		Seconds: seconds, Groups: groups, PeakResident: load.PeakResident(), FirstError: oneLine(r.FirstError), op: o.Workload.Op,
	}
}

func (l *offerJSON) sentences() string {
	text := fmt.Sprintf(`offered %.0f %s/s, achieved %.0f/s: p50 %v, p99 %v, p99.9 %v, at most %v in %.1f s
%d overloaded, %d other errors, %d not started; started up to %.0f ms late; at most %d under way; at most %.0f MiB resident
`, l.Offered, l.op, l.Achieved, l.P50, l.P99, l.P999, l.Max, l.Seconds,
		l.Overloaded, l.Errors, l.NotStarted, l.LateUS/1000, l.MostUnderWay, mebibytes(l.PeakResident))
	if l.FirstError != "" {
		text += "the first other error: " + l.FirstError + "\n"
	}
	return text + l.Watch.sentence() + l.Follower.sentence()
}
