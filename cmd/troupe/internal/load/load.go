// Package load is the load generator of troupe bench: clients in a closed or an open loop, their latencies, and what the process
// used meanwhile.
package load

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// Plan says how long to measure and where the data lies.
type Plan struct {
	// Warmup is not counted.
	Warmup, Measure time.Duration
	// Dir lies on the disk whose flushes are counted; empty: none are.
	Dir string
	// Begin and End, if set, are called when the measured time begins and ends; they must not block.
	Begin, End func()
}

func (p Plan) begin() {
	if p.Begin != nil {
		p.Begin()
	}
}

func (p Plan) end() {
	if p.End != nil {
		p.End()
	}
}

// Report is one measurement. Times and counts are of the measured window only, and of the whole process: whatever runs in it.
type Report struct {
	Clients    int
	Elapsed    time.Duration
	Ops        uint64
	Errors     uint64
	FirstError error
	Latency    Histogram
	// CPU is user and system time of this process, OthersCPU of everything else on the machine.
	CPU, OthersCPU time.Duration
	Objects, Bytes uint64
	Flushes        uint64
}

const (
	warming = iota
	measuring
	over
)

// errorPause keeps a client whose calls fail at once from spinning.
const errorPause = time.Millisecond

// Run lets every client call its function again as soon as the last call has returned. Calls that return within the measured
// window count. It returns when all clients have, early when ctx is done.
func Run(ctx context.Context, plan Plan, clients []func(context.Context) error) *Report {
	r := &Report{Clients: len(clients)}
	var phase atomic.Int32
	var failures atomic.Uint64
	var firstFailure atomic.Pointer[error]
	latencies := make([]Histogram, len(clients))
	runtime.GC()

	var running sync.WaitGroup
	for i, call := range clients {
		running.Go(func() {
			latency := &latencies[i]
			for phase.Load() != over {
				start := time.Now()
				err := call(ctx)
				took := time.Since(start)
				counts := phase.Load() == measuring
				switch {
				case err != nil:
					if counts {
						failures.Add(1)
						firstFailure.CompareAndSwap(nil, &err)
					}
					time.Sleep(errorPause)
				case counts:
					latency.Add(took)
				}
			}
		})
	}

	disk := diskOf(plan.Dir)
	_ = wait.For(ctx, plan.Warmup)
	from := readUsage(disk)
	phase.Store(measuring)
	plan.begin()
	_ = wait.For(ctx, plan.Measure)
	phase.Store(over)
	plan.end()
	to := readUsage(disk)
	running.Wait()

	for i := range latencies {
		r.Latency.Merge(&latencies[i])
	}
	r.Ops, r.Errors = r.Latency.Count(), failures.Load()
	if first := firstFailure.Load(); first != nil {
		r.FirstError = *first
	}
	r.Elapsed = to.at.Sub(from.at)
	r.CPU = to.cpu - from.cpu
	r.OthersCPU = max(0, to.machine-from.machine-r.CPU)
	r.Objects, r.Bytes = to.objects-from.objects, to.bytes-from.bytes
	r.Flushes = to.flushes - from.flushes
	return r
}
