package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// OpenPlan is a Plan whose operations start at a rate, whether earlier ones have ended or not.
type OpenPlan struct {
	Plan
	Rate    float64 // operations per second
	Poisson bool    // otherwise evenly
	Seed    uint64
	// Outstanding is how many operations may be under way; what should start beyond that is counted, and not started.
	Outstanding int
	// Overloaded tells the errors by which the system under load sheds it.
	Overloaded func(error) bool
}

// OpenReport is a measurement of an open loop. Whatever should have started in the measured time is in exactly one of Ops,
// Overloaded, Errors and NotStarted.
type OpenReport struct {
	Elapsed                             time.Duration
	Offered                             uint64
	Ops, Overloaded, Errors, NotStarted uint64
	// Achieved are the operations that ended well within the measured time.
	Achieved   uint64
	FirstError error // of Errors
	// Latency counts from when an operation should have started.
	Latency        Histogram
	MostUnderWay   int64
	CPU, OthersCPU time.Duration
}

// open is a run of an open loop.
type open struct {
	plan       OpenPlan
	call       func(context.Context, *rand.Rand) error
	begin      time.Time
	end        time.Duration
	handoff    chan time.Duration // intended starts, for workers that are free
	workers    sync.WaitGroup
	spawned    uint64
	underWay   atomic.Int64
	most       int64 // of underWay, as the pacer sees it
	offered    uint64
	notStarted uint64
	tallies    [16]tally
}

// tally is shared by some of the workers: one histogram for each of 200,000 would be gigabytes.
type tally struct {
	mu                                sync.Mutex
	ops, overloaded, errors, achieved uint64
	first                             error
	latency                           Histogram
}

// RunOpen starts operations at the plan's rate, each in a worker that is free or in a new one. It returns when all have ended.
func RunOpen(ctx context.Context, plan OpenPlan, call func(context.Context, *rand.Rand) error) *OpenReport {
	o := &open{plan: plan, call: call, end: plan.Warmup + plan.Measure, handoff: make(chan time.Duration)}
	o.begin = time.Now()
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		o.pace(ctx)
	}()
	sleep(ctx, plan.Warmup)
	from := readUsage(0)
	plan.begin()
	sleep(ctx, plan.Measure)
	plan.Plan.end()
	to := readUsage(0)
	<-paced
	close(o.handoff)
	o.workers.Wait()

	r := o.sum()
	r.Elapsed = plan.Measure
	r.CPU = to.cpu - from.cpu
	r.OthersCPU = max(0, to.machine-from.machine-r.CPU)
	return r
}

// pace goes through the schedule. A pacer that is late starts what is due at once; at the end it gives up what is left.
func (o *open) pace(ctx context.Context) {
	s := newSchedule(o.plan.Rate, o.plan.Poisson, o.plan.Seed)
	for at := s.next(); at < o.end; at = s.next() {
		counts := at >= o.plan.Warmup
		if counts {
			o.offered++
		}
		now := time.Since(o.begin)
		if at > now {
			sleep(ctx, at-now)
		}
		if ctx.Err() != nil {
			return
		}
		if !o.start(ctx, at, now) && counts {
			o.notStarted++
		}
	}
}

func (o *open) start(ctx context.Context, at, now time.Duration) bool {
	count := o.underWay.Load()
	if now >= o.end || count >= int64(o.plan.Outstanding) {
		return false
	}
	o.most = max(o.most, o.underWay.Add(1))
	select {
	case o.handoff <- at:
	default:
		number := o.spawned
		o.spawned++
		o.workers.Go(func() { o.work(ctx, number, at) })
	}
	return true
}

func (o *open) work(ctx context.Context, number uint64, at time.Duration) {
	random := rand.New(rand.NewPCG(o.plan.Seed, number))
	t := &o.tallies[number%uint64(len(o.tallies))]
	for more := true; more; at, more = <-o.handoff {
		err := o.call(ctx, random)
		o.underWay.Add(-1)
		o.count(t, at, time.Since(o.begin), err)
	}
}

func (o *open) count(t *tally, at, now time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && now >= o.plan.Warmup && now < o.end {
		t.achieved++
	}
	if at < o.plan.Warmup {
		return
	}
	switch {
	case err == nil:
		t.ops++
		t.latency.Add(now - at)
	case o.plan.Overloaded != nil && o.plan.Overloaded(err):
		t.overloaded++
	default:
		t.errors++
		if t.first == nil {
			t.first = err
		}
	}
}

func (o *open) sum() *OpenReport {
	r := &OpenReport{Offered: o.offered, NotStarted: o.notStarted, MostUnderWay: o.most}
	for i := range o.tallies {
		t := &o.tallies[i]
		r.Ops += t.ops
		r.Overloaded += t.overloaded
		r.Errors += t.errors
		r.Achieved += t.achieved
		if r.FirstError == nil {
			r.FirstError = t.first
		}
		r.Latency.Merge(&t.latency)
	}
	return r
}
