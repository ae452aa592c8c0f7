//go:build unix

package main

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// What is asserted is generous, because machines that run tests are busy; what is wanted is 800 ms and 300 ms, on an idle one.
const (
	failoverLimit = 1600 * time.Millisecond
	catchUpLimit  = 1000 * time.Millisecond
)

func rounds(few, all int) int {
	if testing.Short() {
		return few
	}
	return all
}

func median(t *testing.T, what string, limit time.Duration, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	m := times[len(times)/2]
	t.Logf("%s: median %v of %d, from %v to %v", what, m.Round(time.Millisecond), len(times),
		times[0].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
	if m > limit {
		t.Errorf("%s: the median is %v, more than %v", what, m, limit)
	}
}

// The leader is killed again and again while clients write and read. Nothing that was acknowledged may be lost.
func TestKillLeader(t *testing.T) { // not beside others: it measures how processes start
	c := startProcesses(t)
	w := startWorkload(t, c, 8, 2)
	w.more(200)
	var failovers, catchUps []time.Duration
	for range rounds(5, 20) {
		leader := c.awaitLeader()
		killed := time.Now()
		leader.kill()
		w.accepts()
		failovers = append(failovers, time.Since(killed))

		goal := c.awaitLeader().local().GetCommitIndex()
		started := time.Now()
		leader.start()
		eventually(t, 20*time.Second, leader.id+" has caught up", func() bool { return leader.local().GetAppliedIndex() >= goal })
		catchUps = append(catchUps, time.Since(started))
		w.more(50)
	}
	for _, p := range c.all { // all at once
		p.kill()
	}
	for _, p := range c.all {
		p.start()
	}
	w.check()
	median(t, "from kill -9 of the leader to the first new write", failoverLimit, failovers)
	median(t, "from start of a killed node until it has caught up", catchUpLimit, catchUps)
}

// The leader is stopped as a stuck machine is, and goes on later, believing that it leads.
func TestFreezeLeader(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	w := startWorkload(t, c, 8, 2)
	w.more(200)
	var failovers []time.Duration
	for round := range rounds(3, 20) {
		leader := c.awaitLeader()
		frozen := time.Now()
		leader.freeze()
		w.accepts()
		failovers = append(failovers, time.Since(frozen))
		if round == 0 {
			time.Sleep(3*time.Second - time.Since(frozen)) // the time is the test
		}
		leader.signal(syscall.SIGCONT)
		eventually(t, 20*time.Second, leader.id+" follows", func() bool { return leader.local().GetRole() == "follower" })
		w.more(50)
	}
	w.check()
	c.awaitAgreement()
	median(t, "from SIGSTOP of the leader to the first new write", failoverLimit, failovers)
}

// A cluster that is shut down gracefully has everything when it comes back.
func TestRestartAll(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	w := startWorkload(t, c, 4, 1)
	w.more(200)
	for range 2 {
		for _, p := range c.all {
			p.signal(syscall.SIGTERM)
		}
		for _, p := range c.all {
			if code := p.wait(20 * time.Second); code != 0 {
				t.Errorf("%s ended with exit code %d after SIGTERM", p.id, code)
			}
		}
		for _, p := range c.all {
			p.start()
		}
		w.more(200)
	}
	w.check()
	c.awaitAgreement()
}

// A follower that is away misses nothing.
func TestKillFollower(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	w := startWorkload(t, c, 4, 1)
	w.more(200)
	leader := c.awaitLeader()
	for _, p := range c.all {
		if p == leader {
			continue
		}
		p.kill()
		w.more(200)
		p.start()
		goal := leader.local().GetCommitIndex()
		eventually(t, 20*time.Second, p.id+" has caught up", func() bool { return p.local().GetAppliedIndex() >= goal })
	}
	w.check()
	c.awaitAgreement()
}
