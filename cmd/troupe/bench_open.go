package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// maxRate is more than one process can start, and maxOutstanding as many operations as may wait: a goroutine each.
const (
	maxRate        = 10_000_000
	maxOutstanding = 200_000
)

// openJSON is what --rate --json prints.
type openJSON struct {
	Offered      float64       `json:"offered_per_second"`
	Achieved     float64       `json:"achieved_per_second"`
	P50          float64       `json:"p50_us"`
	P99          float64       `json:"p99_us"`
	P999         float64       `json:"p999_us"`
	Max          float64       `json:"max_us"`
	Overloaded   uint64        `json:"overloaded"`
	Errors       uint64        `json:"errors"`
	NotStarted   uint64        `json:"not_started"`
	MostUnderWay int64         `json:"most_under_way"`
	LateUS       float64       `json:"late_us"`
	Seconds      float64       `json:"seconds"`
	Groups       int           `json:"groups"`
	PeakResident uint64        `json:"peak_resident_bytes"`
	Watch        *watchJSON    `json:"watch,omitempty"`
	Follower     *followerJSON `json:"follower,omitempty"`
	FirstError   string        `json:"first_error,omitempty"`
}

// runOpen starts operations at a rate, and watches the servers meanwhile.
func (o *benchOptions) runOpen(ctx context.Context, t *terminal, s *system, f *follower) error {
	o.progress(t, "offering %g %s/s for %v", o.rate, o.op, time.Duration(o.duration))
	var watched *watchJSON
	plan := load.OpenPlan{
		Plan: load.Plan{Warmup: time.Duration(o.warmup), Measure: time.Duration(o.duration)},
		Rate: o.rate, Poisson: o.arrivals == arrivalsPoisson, Seed: o.seed, Outstanding: maxOutstanding,
		Overloaded: func(err error) bool { return errors.Is(err, actors.ErrOverloaded) },
	}
	plan.Begin, plan.End = func() { f.begin(ctx) }, func() {}
	if s.cluster != nil {
		w := newWatch(s.cluster, o.op != "get")
		plan.Begin = func() { f.begin(ctx); w.start() }
		plan.End = func() { watched = w.stop() }
	}
	load.ResetPeak()
	start, stop := load.Workers(o.openCall(ctx, s))
	if o.mail {
		start, stop = o.mailStarter(s), func() {}
	}
	report := load.RunOpen(ctx, plan, start)
	stop()
	if ctx.Err() != nil {
		return errInterrupted
	}
	line := o.openLine(report)
	line.Watch = watched
	var err error
	if line.Follower, err = f.result(); err != nil {
		return err
	}
	if o.json {
		err = json.NewEncoder(t.out).Encode(line)
	} else {
		err = line.print(t.out, o.op)
	}
	if err == nil && report.Ops+report.Achieved == 0 {
		return fmt.Errorf("no operation succeeded: %w", cmp.Or(report.FirstError, actors.ErrOverloaded))
	}
	return err
}

// openCall chooses a group for every operation, evenly.
func (o *benchOptions) openCall(ctx context.Context, s *system) func(*rand.Rand) error {
	do, keys := operations[o.op], uint64(keysOf(len(s.targets)))
	value := randomValue(rand.New(rand.NewPCG(o.seed, 7)), o.valueSize)
	return func(random *rand.Rand) error {
		return do(ctx, call{target: s.targets[random.IntN(len(s.targets))], keys: keys, random: random, value: value})
	}
}

func (o *benchOptions) openLine(r *load.OpenReport) *openJSON {
	seconds := r.Elapsed.Seconds()
	line := &openJSON{
		Offered: float64(r.Offered) / seconds, Achieved: float64(r.Achieved) / seconds,
		P50: microseconds(r.Latency.Quantile(0.5)), P99: microseconds(r.Latency.Quantile(0.99)),
		P999: microseconds(r.Latency.Quantile(0.999)), Max: microseconds(r.Latency.Max()),
		Overloaded: r.Overloaded, Errors: r.Errors, NotStarted: r.NotStarted, MostUnderWay: r.MostUnderWay, LateUS: microseconds(r.Late),
		Seconds: seconds, Groups: o.groups, PeakResident: load.PeakResident(),
	}
	if r.FirstError != nil {
		line.FirstError = r.FirstError.Error()
	}
	return line
}

func (l *openJSON) print(w io.Writer, op string) error {
	us := func(n float64) time.Duration {
		return time.Duration(n * float64(time.Microsecond)).Round(time.Microsecond)
	}
	text := fmt.Sprintf(`offered %.0f %s/s, achieved %.0f/s: p50 %v, p99 %v, p99.9 %v, at most %v in %.1f s
%d overloaded, %d other errors, %d not started; started up to %v late; at most %d under way; at most %.0f MiB resident
`, l.Offered, op, l.Achieved, us(l.P50), us(l.P99), us(l.P999), us(l.Max), l.Seconds,
		l.Overloaded, l.Errors, l.NotStarted, us(l.LateUS).Round(time.Millisecond), l.MostUnderWay, mebibytes(l.PeakResident))
	if l.FirstError != "" {
		text += "the first other error: " + oneLine(l.FirstError) + "\n"
	}
	_, err := io.WriteString(w, text+l.Watch.sentence()+l.Follower.sentence())
	return err
}

// What --arrivals takes.
const (
	arrivalsEven    = "even"
	arrivalsPoisson = "poisson"
)
