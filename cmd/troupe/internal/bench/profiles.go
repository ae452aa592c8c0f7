package bench

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// Profiles are files that profiles of a measurement are written to; an empty name means none.
type Profiles struct{ CPU, Memory string }

// Start begins the profiles; the function that it returns writes them.
func (p Profiles) Start() (stop func(), err error) {
	var cpu, memory *os.File
	if p.Memory != "" { // before the run: better to fail now than at its end
		if memory, err = os.Create(p.Memory); err != nil {
			return nil, fmt.Errorf("cannot write --memprofile: %w", err)
		}
	}
	if p.CPU != "" {
		if cpu, err = os.Create(p.CPU); err == nil {
			err = pprof.StartCPUProfile(cpu)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot write --cpuprofile: %w", err)
		}
	}
	return func() {
		if cpu != nil {
			pprof.StopCPUProfile()
			_ = cpu.Close()
		}
		if memory != nil {
			_ = pprof.Lookup("allocs").WriteTo(memory, 0)
			_ = memory.Close()
		}
	}, nil
}
