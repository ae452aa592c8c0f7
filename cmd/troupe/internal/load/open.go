package load

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
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
	Latency      Histogram
	MostUnderWay int64
	// Late is the longest time between when an operation should have started and when it did: what the load itself adds to latencies.
	Late           time.Duration
	CPU, OthersCPU time.Duration
}

// Starter starts one operation and does not wait for it: done is called once, from anywhere. The random numbers are for the call.
type Starter func(random *rand.Rand, done func(error))

// open is a run of an open loop.
type open struct {
	plan       OpenPlan
	starter    Starter
	begin      time.Time
	end        time.Duration
	underWay   atomic.Int64
	most       int64 // of underWay, as the pacer sees it
	late       time.Duration
	offered    uint64
	notStarted uint64
	tallies    [16]tally
}

// tally is shared by many operations: one histogram for each of 200,000 would be gigabytes.
type tally struct {
	mu                                sync.Mutex
	ops, overloaded, errors, achieved uint64
	first                             error
	latency                           Histogram
}

// answerTime is how long the last operations are waited for. All that troupe offers answer earlier.
const answerTime = 20 * time.Second

// RunOpen starts operations at the plan's rate. It returns when all have ended; what has not ended after a time counts as an error.
func RunOpen(ctx context.Context, plan OpenPlan, starter Starter) *OpenReport {
	o := &open{plan: plan, starter: starter, end: plan.Warmup + plan.Measure, begin: time.Now()}
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		o.pace(ctx)
	}()
	_ = wait.For(ctx, plan.Warmup)
	from := readUsage(0)
	plan.begin()
	_ = wait.For(ctx, plan.Measure)
	plan.Plan.end()
	to := readUsage(0)
	<-paced
	for end := time.Now().Add(answerTime); o.underWay.Load() > 0 && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}

	r := o.sum()
	r.Elapsed = plan.Measure
	r.CPU = to.cpu - from.cpu
	r.OthersCPU = max(0, to.machine-from.machine-r.CPU)
	return r
}

// turn is how many operations a pacer that is late starts before others have their turn. Go would let it go on for ten milliseconds,
// and all that it started would then stand before everything else.
const turn = 1024

// pace goes through the schedule. A pacer that is late starts what is due at once; at the end it gives up what is left.
func (o *open) pace(ctx context.Context) {
	s := newSchedule(o.plan.Rate, o.plan.Poisson, o.plan.Seed)
	random := rand.New(rand.NewPCG(o.plan.Seed, 13))
	started := 0
	for at := s.next(); at < o.end; at = s.next() {
		counts := at >= o.plan.Warmup
		if counts {
			o.offered++
		}
		now := time.Since(o.begin)
		if at > now {
			_ = wait.For(ctx, at-now)
			now = time.Since(o.begin)
			started = 0
		} else if started++; started%turn == 0 {
			runtime.Gosched()
		}
		if ctx.Err() != nil {
			return
		}
		if !o.start(random, at, now) && counts {
			o.notStarted++
		}
	}
}

func (o *open) start(random *rand.Rand, at, now time.Duration) bool {
	if now >= o.end || o.underWay.Load() >= int64(o.plan.Outstanding) {
		return false
	}
	o.most = max(o.most, o.underWay.Add(1))
	o.late = max(o.late, now-at)
	t := &o.tallies[random.IntN(len(o.tallies))]
	o.starter(random, func(err error) {
		o.count(t, at, time.Since(o.begin), err)
		o.underWay.Add(-1)
	})
	return true
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

var errNoAnswer = errors.New("no answer within " + answerTime.String() + " of the end")

func (o *open) sum() *OpenReport {
	r := &OpenReport{Offered: o.offered, NotStarted: o.notStarted, MostUnderWay: o.most, Late: o.late}
	for i := range o.tallies {
		t := &o.tallies[i]
		t.mu.Lock()
		r.Ops += t.ops
		r.Overloaded += t.overloaded
		r.Errors += t.errors
		r.Achieved += t.achieved
		if r.FirstError == nil {
			r.FirstError = t.first
		}
		r.Latency.Merge(&t.latency)
		t.mu.Unlock()
	}
	if known := r.Ops + r.Overloaded + r.Errors + r.NotStarted; known < r.Offered {
		r.Errors += r.Offered - known
		r.FirstError = cmp.Or(r.FirstError, errNoAnswer)
	}
	return r
}
