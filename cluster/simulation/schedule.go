package simulation

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// schedule decides what happens next: one message of one mailbox, chosen by the seed, or the event that is due.
type schedule struct {
	rng    *rand.Rand
	now    time.Duration
	events events
	number uint64
	ready  []*mailbox
	trace  trace
}

type event struct {
	at     time.Duration
	number uint64
	happen func()
}

// events is a heap, by time and then by age.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

// at lets something happen at a time, after d.
func (s *schedule) after(d time.Duration, happen func()) {
	s.number++
	heap.Push(&s.events, event{s.now + max(d, 0), s.number, happen})
}

// step handles one message. It moves time forward to the next event when no mailbox has one, and reports false when there is
// neither.
func (s *schedule) step() bool {
	for {
		for len(s.events) > 0 && s.events[0].at <= s.now {
			heap.Pop(&s.events).(event).happen()
		}
		if len(s.ready) > 0 {
			s.now += time.Duration(1+s.rng.IntN(20)) * time.Microsecond
			s.runOne()
			return true
		}
		if len(s.events) == 0 {
			return false
		}
		s.now = max(s.now, s.events[0].at)
	}
}

func (s *schedule) runOne() {
	i := s.rng.IntN(len(s.ready))
	m := s.ready[i]
	m.run(&s.trace)
	if m.runnable() {
		return
	}
	m.queued = false
	last := len(s.ready) - 1
	s.ready[i] = s.ready[last]
	s.ready[last] = nil
	s.ready = s.ready[:last]
}

// enqueue makes a mailbox ready, once.
func (s *schedule) enqueue(m *mailbox) {
	if !m.queued && m.runnable() {
		m.queued = true
		s.ready = append(s.ready, m)
	}
}

// chance is true with probability p.
func (s *schedule) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// between draws a duration from [lo, hi].
func (s *schedule) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(s.rng.Int64N(int64(hi-lo)+1))
}

// trace is a running hash of all that happened.
type trace struct {
	hash uint64
	kept []traced // the last events, a ring
	next int
}

const fnvPrime = 1099511628211

func (t *trace) number(n uint64) {
	for range 8 {
		t.hash = (t.hash ^ n&0xff) * fnvPrime
		n >>= 8
	}
}

func (t *trace) text(s string) {
	for i := range len(s) {
		t.hash = (t.hash ^ uint64(s[i])) * fnvPrime
	}
}

func (t *trace) bytes(b []byte) {
	for _, c := range b {
		t.hash = (t.hash ^ uint64(c)) * fnvPrime
	}
}
