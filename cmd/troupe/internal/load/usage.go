package load

import (
	"runtime/metrics"
	"time"
)

// usage is what this process has used up to a moment.
type usage struct {
	at      time.Time
	cpu     time.Duration // user and system time of this process
	machine time.Duration // CPU time of all processes and the kernel; 0 where it is not told
	objects uint64        // allocated on the heap
	bytes   uint64        // allocated on the heap
	flushes uint64        // cache flushes that the data disk completed, for anyone; 0 where it is not told
}

func readUsage(disk uint64) usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return usage{
		at:      time.Now(),
		cpu:     processCPU(),
		machine: machineCPU(),
		objects: samples[0].Value.Uint64(),
		bytes:   samples[1].Value.Uint64(),
		flushes: diskFlushes(disk),
	}
}
