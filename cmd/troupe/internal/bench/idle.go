package bench

import (
	"cmp"
	"context"
	"fmt"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// Idle measures what groups cost that nobody asks for anything.
type Idle struct {
	Local  Local
	Window Window
}

// Check implements Mode.
func (i Idle) Check() error {
	return cmp.Or(i.Local.Check(), i.Window.Check())
}

// Run implements Mode.
func (i Idle) Run(ctx context.Context, out Output) error {
	s, err := i.Local.open(ctx, out)
	if err != nil {
		return err
	}
	defer s.close()
	out.say("measuring %d idle groups on %d nodes for %v", i.Local.Groups, i.Local.Nodes, i.Window.Measure)
	before := s.leaders(ctx)
	report := load.RunIdle(ctx, load.Plan{Warmup: i.Window.Warmup, Measure: i.Window.Measure})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, to := range s.targets {
		to.(*localTarget).find() // nobody else looked
	}
	line := i.line(report)
	line.Led = s.led.Seconds()
	line.Note = s.leadersChanged(ctx, before)
	return out.print(line)
}

// idleJSON is what the process used.
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

func (i Idle) line(r *load.Idle) *idleJSON {
	seconds, parts := r.Elapsed.Seconds(), float64(i.Local.Groups*i.Local.Nodes)
	return &idleJSON{
		Nodes: i.Local.Nodes, Groups: i.Local.Groups, Seconds: seconds,
		CPU: r.CPU.Seconds() / seconds, WakeUps: float64(r.Switches) / seconds, Resident: r.Resident, Goroutines: r.Goroutines,
		CPUEach: float64(microsecondsOf(r.CPU)) / seconds / parts, WakeUpsEach: float64(r.Switches) / seconds / parts,
		ResidentEach: float64(r.Resident) / parts, GoroutinesEach: float64(r.Goroutines) / parts,
	}
}

func (l *idleJSON) sentences() string {
	text := fmt.Sprintf(`%d idle groups on %d nodes: %.3f s of CPU per second, %.0f wake-ups/s, %.1f MiB resident, %d goroutines in %.1f s
for each group and node: %.0f µs of CPU per second, %.1f wake-ups/s, %.1f KiB, %.2f goroutines
all groups had a leader after %.1f s
`, l.Groups, l.Nodes, l.CPU, l.WakeUps, mebibytes(l.Resident), l.Goroutines, l.Seconds,
		l.CPUEach, l.WakeUpsEach, l.ResidentEach/(1<<10), l.GoroutinesEach, l.Led)
	if l.Note != "" {
		text += l.Note + "\n"
	}
	return text
}
