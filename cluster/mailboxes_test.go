package cluster

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMailboxesRunInTurnAFewAtATime(t *testing.T) {
	var w workers
	defer w.close()
	m := newMailboxes(&w)
	var all sync.WaitGroup
	var running, most atomic.Int64
	for range 10_000 {
		all.Add(1)
		m.Schedule(func() {
			defer all.Done()
			most.Store(max(most.Load(), running.Add(1)))
			for range 10 {
				runtime.Gosched() // so that whoever may begin does
			}
			running.Add(-1)
		})
	}
	all.Wait()
	m.eventuallyIdle(t)
	if most.Load() > 100 {
		t.Fatalf("%d ran at a time", most.Load())
	}
}

func (m *mailboxes) eventuallyIdle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		running, waiting, watched := m.running, len(m.woken)-m.first, m.watched
		m.mu.Unlock()
		if running == 0 && waiting == 0 && !watched {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d run, %d wait, watched: %v", running, waiting, watched)
		}
	}
}

// State machines that wait for their disks do not keep the other mailboxes from running, also not beside an application that keeps all
// processors busy.
func TestMailboxesThatBlockHoldUpNobody(t *testing.T) {
	for _, busy := range []int{0, 4 * runtime.GOMAXPROCS(0)} {
		t.Run(fmt.Sprintf("%d goroutines are busy", busy), func(t *testing.T) {
			var end atomic.Bool
			var all sync.WaitGroup
			for range busy {
				all.Go(func() {
					for !end.Load() {
					}
				})
			}
			blockedMailboxes(t)
			end.Store(true)
			all.Wait()
		})
	}
}

func blockedMailboxes(t *testing.T) {
	var w workers
	defer w.close()
	m := newMailboxes(&w)
	blocked := make(chan struct{})
	for range 20 * atOnce {
		m.Schedule(func() { <-blocked })
	}
	ran := make(chan struct{})
	m.Schedule(func() { close(ran) })
	select {
	case <-ran:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for mailboxes that are blocked")
	}
	close(blocked)
	m.eventuallyIdle(t)
	var all sync.WaitGroup
	for range 1000 {
		all.Add(1)
		m.Schedule(all.Done)
	}
	all.Wait()
	m.eventuallyIdle(t)
}

func TestMailboxesRunInTheOrderInWhichTheyWereWoken(t *testing.T) {
	var w workers
	defer w.close()
	m := newMailboxes(&w)
	m.running, m.watched = atOnce-1, true // one at a time, and never more
	var order []int
	done := make(chan struct{})
	for n := range 1000 {
		m.Schedule(func() {
			if order = append(order, n); n == 999 {
				close(done)
			}
		})
	}
	<-done
	for n, got := range order {
		if n != got {
			t.Fatalf("%d ran in the place of %d", got, n)
		}
	}
}

// Each of 4000 mailboxes wakes another when it ran, as those of a thousand busy groups do.
func BenchmarkMailboxesWithMail(b *testing.B) {
	var w workers
	defer w.close()
	for name, schedule := range map[string]func(func()){"a worker each": w.run, "a few at a time": newMailboxes(&w).Schedule} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			var run func()
			run = func() {
				if deep(20); left.Add(-1) < 0 {
					all.Done()
					return
				}
				schedule(run)
			}
			all.Add(4000)
			for range 4000 {
				schedule(run)
			}
			all.Wait()
		})
	}
}
