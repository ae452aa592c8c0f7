package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

const opIdle = "idle"

// idleJSON is what --op idle --json prints.
type idleJSON struct {
	Nodes      int     `json:"nodes"`
	Groups     int     `json:"groups"`
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu_s_per_s"`
	WakeUps    float64 `json:"wakeups_per_s"`
	Resident   uint64  `json:"resident_bytes"`
	Goroutines int     `json:"goroutines"`
	// Of one group on one node.
	CPUEach        float64 `json:"cpu_us_per_s_each"`
	WakeUpsEach    float64 `json:"wakeups_per_s_each"`
	ResidentEach   float64 `json:"resident_bytes_each"`
	GoroutinesEach float64 `json:"goroutines_each"`
	Led            float64 `json:"all_led_s"`
	Note           string  `json:"note,omitempty"`
}

// runIdle measures what groups cost that nobody asks for anything.
func (o *benchOptions) runIdle(ctx context.Context, t *terminal, s *system) error {
	o.progress(t, "measuring %d idle groups on %d nodes for %v", o.groups, o.local, time.Duration(o.duration))
	before := s.leaders(ctx)
	r := load.RunIdle(ctx, load.Plan{Warmup: time.Duration(o.warmup), Measure: time.Duration(o.duration)})
	if ctx.Err() != nil {
		return errInterrupted
	}
	for _, target := range s.targets {
		target.(*localTarget).find() // nobody else looked
	}
	line := o.idleLine(s, r)
	line.Note = s.leadersChanged(ctx, before)
	if o.json {
		return json.NewEncoder(t.out).Encode(line)
	}
	return line.print(t.out)
}

func (o *benchOptions) idleLine(s *system, r *load.Idle) idleJSON {
	seconds, parts := r.Elapsed.Seconds(), float64(o.groups*o.local)
	return idleJSON{
		Nodes: o.local, Groups: o.groups, Seconds: seconds,
		CPU: r.CPU.Seconds() / seconds, WakeUps: float64(r.Switches) / seconds, Resident: r.Resident, Goroutines: r.Goroutines,
		CPUEach: microseconds(r.CPU) / seconds / parts, WakeUpsEach: float64(r.Switches) / seconds / parts,
		ResidentEach: float64(r.Resident) / parts, GoroutinesEach: float64(r.Goroutines) / parts,
		Led: s.led.Seconds(),
	}
}

func (l *idleJSON) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `%d idle groups on %d nodes: %.3f s of CPU per second, %.0f wake-ups/s, %.1f MiB resident, %d goroutines in %.1f s
for each group and node: %.0f µs of CPU per second, %.1f wake-ups/s, %.1f KiB, %.2f goroutines
all groups had a leader after %.1f s
`, l.Groups, l.Nodes, l.CPU, l.WakeUps, mebibytes(l.Resident), l.Goroutines, l.Seconds,
		l.CPUEach, l.WakeUpsEach, l.ResidentEach/(1<<10), l.GoroutinesEach, l.Led)
	if err == nil && l.Note != "" {
		_, err = fmt.Fprintln(w, l.Note)
	}
	return err
}

func mebibytes(n uint64) float64 { return float64(n) / (1 << 20) }
