package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreClose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var parts [3]Histogram
	var all []time.Duration
	for i := range 30000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		parts[i%3].Add(d)
	}
	var h Histogram
	for i := range parts {
		h.Merge(&parts[i])
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want, got := all[int(q*float64(len(all)))], h.Quantile(q)
		if got < want || float64(got) > float64(want)*1.017+1 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if h.Count() != 30000 || h.Max() != all[len(all)-1] || h.Quantile(1) != h.Max() {
		t.Errorf("count %d, max %v, quantile 1 %v", h.Count(), h.Max(), h.Quantile(1))
	}
}

func TestSlotsAreContiguous(t *testing.T) {
	for slot := range slots - 1 {
		if end := slotEnd(slot); slotOf(end) != slot || slotOf(end+1) != slot+1 {
			t.Fatalf("slot %d ends at %v, which is in slot %d, and the next duration in %d", slot, end, slotOf(end), slotOf(end+1))
		}
	}
	if slotOf(-1) != 0 || slotOf(1<<62) != slots-1 {
		t.Error("durations out of range are not counted at the ends")
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("the median of nothing is not 0")
	}
}
