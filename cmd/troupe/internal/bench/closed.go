package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// Closed measures clients each of which starts its next operation when its last one has ended.
type Closed struct {
	System   System
	Workload Workload
	Window   Window
	Clients  []int // each number of clients is a measurement of its own
	Follower Fate
}

// MaxClients bounds what a slip of the keyboard can start.
const MaxClients = 100_000

// Check implements Mode.
func (c Closed) Check() error {
	return cmp.Or(c.System.Check(), c.Workload.Check(), c.Window.Check(), c.Follower.Check())
}

// Run implements Mode.
func (c Closed) Run(ctx context.Context, out Output) error {
	s, err := c.System.open(ctx, out)
	if err != nil {
		return err
	}
	defer s.close()
	if err := preload(ctx, s); err != nil {
		return err
	}
	f, err := c.Follower.choose(ctx, s, c.Window.Measure)
	if err != nil {
		return err
	}
	for _, count := range c.Clients {
		if err := c.measure(ctx, out, s, f, count); err != nil {
			return err
		}
	}
	return nil
}

func (c Closed) measure(ctx context.Context, out Output, s *system, f *follower, count int) error {
	out.say("measuring %s with %d clients for %v", c.Workload.Op, count, c.Window.Measure)
	before := s.leaders(ctx)
	plan := load.Plan{Warmup: c.Window.Warmup, Measure: c.Window.Measure, Dir: s.dir, Begin: func() { f.begin(ctx) }}
	report := load.Run(ctx, plan, c.clients(s, count))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	line := c.line(report)
	if len(s.targets) > 1 {
		line.Groups = len(s.targets)
	}
	var err error
	if line.Follower, err = f.result(); err != nil {
		return err
	}
	line.note = s.leadersChanged(ctx, before)
	if err := out.print(line); err != nil {
		return err
	}
	if report.Ops == 0 {
		return fmt.Errorf("no operation succeeded: %w", report.FirstError)
	}
	return nil
}

// clients are spread evenly over the groups.
func (c Closed) clients(s *system, count int) []func(context.Context) error {
	clients := make([]func(context.Context) error, count)
	for i := range clients {
		to, random := s.targets[i%len(s.targets)], rand.New(rand.NewPCG(uint64(i), 7))
		do := c.Workload.caller(len(s.targets), random)
		clients[i] = func(ctx context.Context) error { return do(ctx, to, random) }
	}
	return clients
}

// closedJSON is a number of clients, and what they saw. What was used is of the whole process, in which the clients run, too.
type closedJSON struct {
	Op           Operation    `json:"op"`
	Clients      int          `json:"clients"`
	ValueSize    int          `json:"value_size"`
	Operations   uint64       `json:"operations"`
	OpsPerSecond float64      `json:"ops_per_second"`
	P50          microseconds `json:"p50_us"`
	P99          microseconds `json:"p99_us"`
	P999         microseconds `json:"p999_us"`
	Max          microseconds `json:"max_us"`
	Errors       uint64       `json:"errors"`
	FirstError   string       `json:"first_error"`
	Seconds      float64      `json:"seconds"`
	Allocs       float64      `json:"allocs_per_op"`
	AllocBytes   float64      `json:"alloc_bytes_per_op"`
	CPU          microseconds `json:"cpu_us_per_op"`
	Flushes      float64      `json:"flushes_per_second"` // of the disk with the data, for anyone; 0 when the system does not tell
	OtherCores   float64      `json:"other_cores"`        // used by other processes

	Groups   int           `json:"groups,omitempty"` // when more than one
	Follower *followerJSON `json:"follower,omitempty"`
	note     string
}

func (c Closed) line(r *load.Report) *closedJSON {
	seconds := r.Elapsed.Seconds()
	line := &closedJSON{
		Op: c.Workload.Op, Clients: r.Clients, ValueSize: c.Workload.ValueSize,
		Operations: r.Ops, OpsPerSecond: float64(r.Ops) / seconds,
		P50: microsecondsOf(r.Latency.Quantile(0.5)), P99: microsecondsOf(r.Latency.Quantile(0.99)),
		P999: microsecondsOf(r.Latency.Quantile(0.999)), Max: microsecondsOf(r.Latency.Max()),
		Errors: r.Errors, FirstError: oneLine(r.FirstError), Seconds: seconds,
		Flushes: float64(r.Flushes) / seconds, OtherCores: r.OthersCPU.Seconds() / seconds,
	}
	if ops := float64(r.Ops); ops > 0 {
		line.Allocs, line.AllocBytes = float64(r.Objects)/ops, float64(r.Bytes)/ops
		line.CPU = microsecondsOf(r.CPU) / microseconds(ops)
	}
	return line
}

func (l *closedJSON) sentences() string {
	text := fmt.Sprintf("%d clients: %.0f %s/s, p50 %v, p99 %v, p99.9 %v, %d errors in %.1f s\n",
		l.Clients, l.OpsPerSecond, l.Op, l.P50, l.P99, l.P999, l.Errors, l.Seconds)
	if l.FirstError != "" {
		text += "the first error: " + l.FirstError + "\n"
	}
	if l.note != "" {
		text += l.note + "\n"
	}
	return text + l.Follower.sentence()
}
