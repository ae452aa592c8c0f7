package load

import (
	"runtime"
	"testing"
	"time"
)

func TestRunIdle(t *testing.T) {
	began := 0
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-time.After(time.Millisecond):
			case <-stop:
				return
			}
		}
	}()
	r := RunIdle(t.Context(), Plan{Warmup: 10 * time.Millisecond, Measure: 200 * time.Millisecond, Begin: func() { began++ }})
	if began != 1 || r.Elapsed < 200*time.Millisecond || r.Goroutines < 2 || r.CPU > 2*r.Elapsed*time.Duration(runtime.NumCPU()) {
		t.Errorf("began %d times, %+v", began, r)
	}
	if runtime.GOOS == "linux" && (r.Resident < 1<<20 || r.Switches < 20) {
		t.Errorf("a timer fires each millisecond: %+v", r)
	}
}

func TestPeakResident(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	big := make([]byte, 64<<20)
	for i := range big {
		big[i] = 1
	}
	if peak := PeakResident(); peak < 64<<20 || peak < Resident()/2 {
		t.Errorf("%d bytes at most, %d now", peak, Resident())
	}
	runtime.KeepAlive(big)
	if FreeDisk(t.TempDir()) == 0 {
		t.Error("no free disk")
	}
}
