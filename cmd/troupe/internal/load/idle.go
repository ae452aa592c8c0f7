package load

import (
	"context"
	"runtime"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
)

// Idle is what this process used while nobody asked it for anything.
type Idle struct {
	Elapsed, CPU time.Duration
	// Switches are voluntary and involuntary context switches of all threads: each is followed by a wake-up.
	Switches uint64
	// Resident and Goroutines are as of the end.
	Resident   uint64
	Goroutines int
}

// RunIdle measures without any client.
func RunIdle(ctx context.Context, plan Plan) *Idle {
	runtime.GC() // what the start left behind is no part of idling
	_ = wait.For(ctx, plan.Warmup)
	at, cpu, switches := time.Now(), processCPU(), contextSwitches()
	plan.begin()
	_ = wait.For(ctx, plan.Measure)
	return &Idle{
		Elapsed: time.Since(at), CPU: processCPU() - cpu, Switches: contextSwitches() - switches,
		Resident: Resident(), Goroutines: runtime.NumGoroutine(),
	}
}
