package actors

import (
	"slices"
	"testing"
	"time"
)

// A batch waits for two syncs, and longer for many callers, but never longer than a heartbeat.
func TestHowLongABatchWaits(t *testing.T) {
	const heartbeat = 50 * time.Millisecond
	for _, c := range []struct {
		size        uint64
		sync        time.Duration
		usual, most time.Duration
	}{
		{1, time.Millisecond, 2 * time.Millisecond, 2 * time.Millisecond},
		{256, time.Millisecond, 2 * time.Millisecond, 2 * time.Millisecond},
		{1256, time.Millisecond, 2 * time.Millisecond, 7 * time.Millisecond},
		{256, time.Second, heartbeat, heartbeat},
		{1256, 24 * time.Millisecond, 48 * time.Millisecond, heartbeat},
		{1 << 20, time.Millisecond, 2 * time.Millisecond, heartbeat},
	} {
		waits := cohort{size: c.size, sync: c.sync}
		if usual, most := waits.waits(heartbeat); usual != c.usual || most != c.most {
			t.Errorf("%d entries, synced in %v: %v and %v", c.size, c.sync, usual, most)
		}
	}
}

// A longer wait is allowed as long as callers come together in it. Otherwise it is tried more and more seldom, until it was worth it again.
func TestLongerWaitsAreForThoseWhoCome(t *testing.T) {
	var l longerWait
	paused := func() (batches int) {
		for !l.allowed() {
			batches++
		}
		return batches
	}
	for range 3 {
		l.ended(true)
		if n := paused(); n != 0 {
			t.Errorf("after a wait that was worth it there is none for %d batches", n)
		}
	}
	var pauses []int
	for range 7 {
		l.ended(false)
		pauses = append(pauses, paused())
	}
	if want := []int{8, 16, 32, 64, 128, 256, 256}; !slices.Equal(pauses, want) {
		t.Errorf("the pauses are %v, not %v", pauses, want)
	}
	for range worthIt {
		l.ended(true)
	}
	l.ended(false)
	if n := paused(); n != shortestPause {
		t.Errorf("a first failure pauses for %d batches", n)
	}
}

// The next batch waits longer for a thousand callers. If they do not come in that time, the batches behind it do not; if they do, others
// may.
func TestWhoDoesNotComeIsNotWaitedForAgain(t *testing.T) {
	const callers = 1000
	for _, come := range []bool{false, true} {
		clock := &manualClock{now: time.Unix(1, 0)}
		s := &server{c: &Config{Clock: clock, Timing: Timing{Heartbeat: time.Second}}}
		c := cohort{timed: true} // no timer
		next := func() time.Duration {
			since := clock.now
			clock.now = clock.now.Add(time.Millisecond)
			s.log.last += callers
			s.lastApplied = s.log.last
			c.synced(s, &batch{claim: s.log.last, since: since})
			return c.atLast.Sub(clock.now)
		}
		longest := next()
		clock.now = clock.now.Add(longest - time.Microsecond)
		if !c.gathers(s) {
			t.Errorf("the batch leaves before %v", longest)
		}
		if come {
			s.log.last += callers
		}
		clock.now = clock.now.Add(time.Microsecond)
		for range 2 { // it is asked again before the batch is synced
			if c.gathers(s) {
				t.Errorf("the batch does not leave after %v", longest)
			}
		}
		if c.longer.pause > shortestPause || c.longer.worth > 1 {
			t.Error("one wait counts more than once")
		}
		s.log.last = c.last
		if again := next(); (again == longest) != come {
			t.Errorf("they come: %t, and the next batch waits for %v", come, again)
		}
	}
}
