package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations. Its quantiles are within 1.6 % of the true ones, up to about two minutes. The zero value is empty.
// It is not safe for concurrent use: give each client its own, and merge them.
type Histogram struct {
	counts [slots]uint32
	total  uint64
	max    time.Duration
}

// A slot is a power of two and one of 64 equal steps in it; below 64 ns a slot is one nanosecond.
const (
	stepBits = 6
	steps    = 1 << stepBits
	topBit   = 37
	slots    = (topBit - stepBits + 1) * steps
)

func slotOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < steps {
		return int(n)
	}
	shift := bits.Len64(n) - 1 - stepBits
	return min((shift+1)*steps+int(n>>shift)-steps, slots-1)
}

// slotEnd is the longest duration that is counted in the slot.
func slotEnd(slot int) time.Duration {
	if slot < steps {
		return time.Duration(slot)
	}
	shift, step := slot/steps-1, slot%steps+steps
	return time.Duration((step+1)<<shift - 1)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[slotOf(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds what the other histogram counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration added.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is a duration such that the fraction q of those added, from 0 to 1, is shorter. It is 0 when none was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var below uint64
	for slot, n := range h.counts {
		if below += uint64(n); below > rank {
			return min(slotEnd(slot), h.max)
		}
	}
	return h.max
}
