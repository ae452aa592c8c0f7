package simulation

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
)

// scenario is a world without clients and without random faults: a test decides what goes wrong, and in what order. All checks of
// the world stay on; a sentence that does not hold fails the test.
type scenario struct {
	t     *testing.T
	w     *world
	nodes []*node
	holds []*hold
}

// patience of a scenario: what must happen happens within this much virtual time.
const scenarioPatience = 20 * time.Second

// newScenario starts a cluster of n1, n2, ... whose disks are empty.
func newScenario(t *testing.T, nodes int) *scenario {
	t.Helper()
	return newScenarioOf(t, Options{Nodes: nodes})
}

func newScenarioOf(t *testing.T, o Options) *scenario {
	t.Helper()
	o.Trace, o.Groups = 80, max(o.Groups, 1)
	if o.Limits == (actors.Limits{}) {
		o.Limits.SnapshotAfter = 1 << 40 // no snapshots
	}
	s := &scenario{t: t, w: newWorld(Registers(), o)}
	s.nodes = s.w.nodes
	for _, n := range s.nodes {
		s.restart(n)
	}
	t.Cleanup(func() {
		for _, n := range s.nodes {
			n.crash()
		}
		if !t.Failed() {
			s.check()
		}
	})
	return s
}

// newCluster is a scenario whose first node leads, and whose nodes have all applied the first entry.
func newCluster(t *testing.T, nodes int) *scenario {
	t.Helper()
	s := newScenario(t, nodes)
	s.elect(s.nodes[0])
	s.settled()
	return s
}

// check fails the test with the sentence that did not hold.
func (s *scenario) check() {
	s.t.Helper()
	if f := s.w.failure; f != nil {
		s.t.Fatalf("%v\n%s", f, strings.Join(f.Last, "\n"))
	}
}

// fatal fails the test with what happened last.
func (s *scenario) fatal(format string, args ...any) {
	s.t.Helper()
	s.w.fail("the test passes", "%s%s", fmt.Sprintf(format, args...), s.w.describe())
	s.check()
}

// Time.

// pass lets time pass.
func (s *scenario) pass(d time.Duration) {
	s.t.Helper()
	s.during(d, "", func() bool { return true })
}

// until runs until something holds, which it must within the scenario's patience.
func (s *scenario) until(what string, holds func() bool) {
	s.t.Helper()
	s.within(scenarioPatience, what, holds)
}

// within runs until something holds, which it must within d.
func (s *scenario) within(d time.Duration, what string, holds func() bool) {
	s.t.Helper()
	limit := s.w.now + d
	s.w.run(func() bool { return holds() || s.w.now > limit })
	s.check()
	if !holds() {
		s.fatal("not within %v: %s", d, what)
	}
}

// during lets time pass, and fails when something does not hold after a step.
func (s *scenario) during(d time.Duration, what string, holds func() bool) {
	s.t.Helper()
	limit, over := s.w.now+d, false
	s.w.after(d, func() { over = true }) // even if nothing else happens
	s.w.run(func() bool { return over || s.w.now > limit || !holds() })
	s.check()
	if !holds() {
		s.fatal("not during all of %v: %s", d, what)
	}
}

// Nodes.

func (s *scenario) status(n *node) actors.Status {
	if !n.up || len(n.doors) == 0 {
		return actors.Status{Role: actors.Stopped}
	}
	return n.doors[0].Status()
}

func (s *scenario) leads(n *node) bool { return s.status(n).Role == actors.Leader }

// leader is the node that leads in the highest term, or nil.
func (s *scenario) leader() *node {
	var found *node
	for _, n := range s.nodes {
		if s.leads(n) && (found == nil || s.status(n).Term > s.status(found).Term) {
			found = n
		}
	}
	return found
}

// log is a node's log as "1@1 2@1 3@2", as its server has it in memory; on its disk when it is down.
func (s *scenario) log(n *node) string {
	if !n.up || !n.seen[0].begun {
		return s.disk(n)
	}
	return places(n.seen[0].log.ids)
}

// disk is the log that is synced to a node's disk.
func (s *scenario) disk(n *node) string { return places(n.disk.groups[0].log.ids) }

func places(entries []entryID) string {
	var all []string
	for i, e := range entries {
		all = append(all, fmt.Sprintf("%d@%d", i+1, e.term))
	}
	return strings.Join(all, " ")
}

// committed is the number of entries that any node has said to be committed.
func (s *scenario) committed() int { return len(s.w.truth[0].committed) }

// settled runs until all nodes that are up have applied all of the leader's log.
func (s *scenario) settled() {
	s.t.Helper()
	s.until("all that are up have applied all of the leader's log", func() bool {
		l := s.leader()
		if l == nil || !s.status(l).Ready {
			return false
		}
		for _, n := range s.nodes {
			if n.up && s.status(n).AppliedIndex != s.status(l).LastIndex {
				return false
			}
		}
		return true
	})
}

// elect makes a node the leader, of the latest term that anyone is in: until it leads, nobody else asks for votes, and no other
// leader is heard.
func (s *scenario) elect(n *node) {
	s.t.Helper()
	others := s.drop(func(p packet) bool { return p.from != n && (requestVote(p) || appendEntries(p) || pulse(p)) })
	s.until(n.id+" leads", func() bool {
		for _, other := range s.nodes {
			if s.status(other).Term > s.status(n).Term {
				return false
			}
		}
		return s.leads(n)
	})
	others.end()
}

// crash is a power loss: nothing unsynced survives. What the journal was writing is on the disk or not, as the test says.
func (s *scenario) crash(n *node, written bool) {
	if written && n.disk.writing != nil {
		n.disk.write(n)
	}
	n.disk.writing = nil
	n.disk.slow = 0
	n.crash()
}

func (s *scenario) restart(n *node) {
	if n.up {
		return
	}
	n.start()
	if n.up {
		tapped := func(*actor.PID) (actor.Process, bool) { return tap{wire{n}, s}, true }
		n.system.ProcessRegistry.RemoteHandlers = []actor.AddressResolver{tapped}
	}
	s.check()
}

// stopDisk lets nothing more reach a node's disk, until startDisk or a crash.
func (s *scenario) stopDisk(n *node) { n.disk.slow = 1000 * time.Hour }

func (s *scenario) startDisk(n *node) {
	n.disk.slow = 0
	if n.disk.writing != nil {
		n.disk.write(n)
	}
}

// Callers.

// caller asked one thing, and waits for the answer.
type caller struct {
	s    *scenario
	what string
	done bool
	got  actors.Answer
}

// Answer is called by the actors.
func (c *caller) Answer(a actors.Answer) {
	if c.done {
		c.s.w.fail("a caller is answered once", "%s: %q %v, then %q %v", c.what, c.got.Value, c.got.Err, a.Value, a.Err)
		return
	}
	a.Value = bytes.Clone(a.Value)
	c.done, c.got = true, a
	c.s.w.note("%s: %q %v", c.what, a.Value, a.Err)
}

func (c *caller) answered() bool { return c.done }

// propose asks a node for a command: "put KEY VALUE" or "swap KEY OLD NEW".
func (s *scenario) propose(n *node, command string) *caller {
	c := &caller{s: s, what: fmt.Sprintf("%s at %s", command, n.id)}
	n.doors[0].Propose([]byte(command), c)
	return c
}

// query asks a node for the value of a key.
func (s *scenario) query(n *node, key string) *caller {
	c := &caller{s: s, what: fmt.Sprintf("get %s at %s", key, n.id)}
	n.doors[0].Query([]byte(key), c)
	return c
}

// answer waits for it.
func (s *scenario) answer(c *caller) actors.Answer {
	s.t.Helper()
	s.until(c.what+" is answered", c.answered)
	return c.got
}

// done waits until the caller is told of success, and returns the value.
func (s *scenario) done(c *caller) string {
	s.t.Helper()
	if a := s.answer(c); a.Err != nil {
		s.fatal("%s: %v", c.what, a.Err)
	}
	return string(c.got.Value)
}

// put proposes a command at the node that leads, and waits for its success.
func (s *scenario) put(command string) {
	s.t.Helper()
	s.until("a leader is ready", func() bool { return s.leader() != nil && s.status(s.leader()).Ready })
	s.done(s.propose(s.leader(), command))
}

// The network.

// cut lets a link carry nothing, in both directions; link by link, heal undoes it.
func (s *scenario) cut(a, b *node) {
	s.cutOneWay(a, b)
	s.cutOneWay(b, a)
}

func (s *scenario) cutOneWay(from, to *node) {
	s.w.cut[link{from.place, to.place}] = &outage{fault: Partition}
}

// isolate cuts a node off all others.
func (s *scenario) isolate(n *node) {
	for _, other := range s.nodes {
		if other != n {
			s.cut(n, other)
		}
	}
}

// partition lets only nodes of the same side hear each other.
func (s *scenario) partition(sides ...[]*node) {
	s.heal()
	side := map[*node]int{}
	for i, all := range sides {
		for _, n := range all {
			side[n] = i + 1
		}
	}
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			if a != b && side[a] != side[b] {
				s.cutOneWay(a, b)
			}
		}
	}
}

// heal mends all links. What is held stays held.
func (s *scenario) heal() { clear(s.w.cut) }
