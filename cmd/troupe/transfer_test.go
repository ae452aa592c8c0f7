//go:build unix

package main

import (
	"strings"
	"testing"
	"time"
)

// pauseLimit is generous, because machines that run tests are busy; what is wanted is much less.
const pauseLimit = time.Second

// Whether a leader is told to hand over or to end, a writer hardly notices.
func TestHandingOverIsQuick(t *testing.T) { // not beside others: it measures
	skipShort(t)
	c := startProcesses(t)
	w := c.count(1, c.endpoints())
	w.more(20)
	var transfers, ends []time.Duration
	for range 5 {
		transfers = append(transfers, w.pauses(func() { c.does("transfer-leader") }))
		leader := c.awaitLeader()
		ends = append(ends, w.pauses(leader.stop))
		leader.start()
		c.awaitMembers("n1, n2, n3")
	}
	median(t, "the longest pause of a writer in a transfer", pauseLimit, transfers)
	median(t, "the longest pause of a writer at SIGTERM of the leader", pauseLimit, ends)
	for _, pause := range append(transfers, ends...) {
		if pause > 2*pauseLimit {
			t.Errorf("a writer paused for %v", pause)
		}
	}
	w.check()
}

// pauses is the longest time without an answered write, for the first writer, while do runs and just afterwards.
func (w *counters) pauses(do func()) time.Duration {
	w.t.Helper()
	w.more(1)
	w.all[0].pause.Store(0)
	do()
	w.more(5)
	return time.Duration(w.all[0].pause.Load())
}

// A node that is started at another address tells the others by itself.
func TestANodeMoves(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	c.awaitAgreement()
	leader := c.awaitLeader()
	for _, p := range []*process{leader, c.without(leader)[0]} {
		p.stop()
		p.peers = freeAddresses(t, 1)[0]
		p.set("--peer-addr", p.peers) // and the old --initial-cluster
		p.start()
		c.awaitAt(p)
		p.stop()
		p.start()
		c.awaitAt(p)
	}
	if o := c.troupe("put", "k", "v"); o.code != exitDone {
		t.Error(o)
	}
	c.awaitMembers("n1, n2, n3")

	p := c.all[2]
	p.stop()
	p.empty()
	p.set("--peer-addr", freeAddresses(t, 1)[0])
	p.start()
	if code := p.wait(20 * time.Second); code != exitUsage || !strings.Contains(p.log(), "make them equal") {
		t.Errorf("a founder at another address than its list says: exit code %d\n%s", code, tail(p.log(), 3))
	}
}

// awaitAt waits until the members know the process where it is, and it is well.
func (c *processes) awaitAt(p *process) {
	c.t.Helper()
	eventually(c.t, 30*time.Second, p.id+" is known at "+p.peers, func() bool {
		g, _ := c.members()
		for _, m := range g.Members {
			if m.ID == p.id && m.Address == p.peers && m.Reachable && m.Error == "" {
				return true
			}
		}
		return false
	})
}
