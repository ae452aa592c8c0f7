//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The group grows from three to five, all that it began with are replaced, and it shrinks to three, while four writers go on.
// Nothing is lost, nothing counts twice, and no call fails.
func TestAllNodesAreReplaced(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	founders, newcomers := slices.Clone(c.all), []*process{}
	for i := 4; i <= 8; i++ {
		newcomers = append(newcomers, c.newcomer(fmt.Sprint("n", i)))
	}
	w := c.count(4, c.endpoints())
	w.more(20)

	c.joinsThoughKilled(newcomers[0])
	c.joined(newcomers[1])
	w.more(20)
	for i, old := range founders {
		c.joined(newcomers[2+i])
		c.leaves(old)
		w.more(20)
	}
	c.leaves(c.awaitLeader())
	c.leaves(c.awaitLeader())
	g, _ := c.members()
	if len(g.Members) != 3 || g.Joint || strings.Contains(g.brief(), " is ill") || strings.Contains(g.brief(), "learns") {
		t.Errorf("the members are %s", g.brief())
	}
	w.more(20)
	w.check()
}

// joined starts a process and waits until it has a vote.
func (c *processes) joined(p *process) {
	c.t.Helper()
	p.start()
	c.awaitVote(p)
}

func (c *processes) awaitVote(p *process) {
	c.t.Helper()
	eventually(c.t, 30*time.Second, p.id+" has a vote", func() bool {
		g, _ := c.members()
		for _, m := range g.Members {
			if m.ID == p.id && m.Voter && m.Error == "" {
				return true
			}
		}
		return false
	})
}

// joinsThoughKilled kills a process where it matters while it joins: before it is known, when it learns, and when it has just a vote.
func (c *processes) joinsThoughKilled(p *process) {
	c.t.Helper()
	for _, moment := range []string{"the node is started", "listens", "this node has joined"} {
		p.start()
		eventually(c.t, 30*time.Second, p.id+": "+moment, func() bool { return strings.Contains(p.log(), moment) })
		p.kill()
	}
	c.joined(p)
}

// leaves removes a running process, which ends by itself.
func (c *processes) leaves(p *process) {
	c.t.Helper()
	c.does("member", "remove", p.id)
	p.refuses(p.id + " stops: this node was removed from the group")
	c.all = slices.DeleteFunc(slices.Clone(c.all), func(o *process) bool { return o == p })
}
