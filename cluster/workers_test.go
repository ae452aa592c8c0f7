package cluster

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestWorkersRunEverythingAndEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	var w workers
	for range 3 {
		var all sync.WaitGroup
		for range 2 * maxIdleWorkers {
			all.Add(1)
			w.run(all.Done)
		}
		all.Wait()
	}
	blocked, ran := make(chan struct{}), make(chan struct{})
	w.run(func() { <-blocked })
	w.run(func() { close(ran) }) // does not wait for the other
	<-ran
	w.close()
	close(blocked)
	late := make(chan struct{})
	w.run(func() { close(late) })
	<-late
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// deep grows the stack of its goroutine, as handling a message does.
func deep(n int) int {
	var frame [256]byte
	if n == 0 {
		return int(frame[0])
	}
	return deep(n-1) + int(frame[n%256])
}

func BenchmarkWakeUp(b *testing.B) {
	var w workers
	defer w.close()
	for name, schedule := range map[string]func(func()){"go": func(f func()) { go f() }, "worker": w.run} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			done := make(chan struct{})
			f := func() { deep(20); done <- struct{}{} }
			for b.Loop() {
				schedule(f)
				<-done
			}
		})
	}
}
