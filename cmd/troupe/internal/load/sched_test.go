package load

import (
	"sync"
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	w := StartWaits()
	var all sync.WaitGroup
	for range 2000 { // far more than processors, each for a while
		all.Go(func() {
			for begin := time.Now(); time.Since(begin) < 50*time.Microsecond; {
			}
		})
	}
	all.Wait()
	if half, most := w.Quantile(0.5), w.Quantile(0.999); most <= 0 || half > most || most > time.Minute {
		t.Errorf("half waited %v, almost all %v", half, most)
	}
}
