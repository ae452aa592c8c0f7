package load

import (
	"runtime/metrics"
	"time"
)

// Waits tells how long goroutines that could run waited for a processor.
type Waits struct{ counts []uint64 }

const schedLatencies = "/sched/latencies:seconds"

func readSched() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: schedLatencies}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return &metrics.Float64Histogram{Buckets: []float64{0}}
	}
	return sample[0].Value.Float64Histogram()
}

// StartWaits begins to count.
func StartWaits() *Waits { return &Waits{readSched().Counts} }

// Quantile is a time such that the fraction q of the waits since the start was shorter, about.
func (w *Waits) Quantile(q float64) time.Duration {
	now := readSched()
	var total, below uint64
	for i, n := range now.Counts {
		total += n - w.counts[i]
	}
	for i, n := range now.Counts {
		below += n - w.counts[i]
		if float64(below) > q*float64(total) {
			return time.Duration(max(now.Buckets[i], 0) * float64(time.Second)) // the first bucket begins at -Inf
		}
	}
	return 0
}
