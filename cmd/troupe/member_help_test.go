//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
)

// newcomer makes a process that is to join those that are there.
func (c *processes) newcomer(id string, flags ...string) *process {
	c.t.Helper()
	addresses := freeAddresses(c.t, 2)
	return c.add(id, addresses[0], addresses[1], append([]string{"--join", strings.Join(c.endpoints(), ",")}, flags...)...)
}

// stop is SIGTERM, which must end the process well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(20 * time.Second); code != exitDone {
		p.t.Errorf("%s ended with exit code %d after SIGTERM", p.id, code)
	}
}

// refuses waits for a process that ends by itself, because of what it says.
func (p *process) refuses(words ...string) {
	p.t.Helper()
	if code := p.wait(20 * time.Second); code != exitFailed || !containsAll(lastLine(p.log()), words...) {
		p.t.Errorf("%s ended with exit code %d, and not because of %q:\n%s", p.id, code, words, tail(p.log(), 5))
	}
}

// empty removes the directory of a process that does not run.
func (p *process) empty() {
	p.t.Helper()
	if err := os.RemoveAll(p.args[4]); err != nil {
		p.t.Fatal(err)
	}
}

// set gives a flag of a process that does not run another value.
func (p *process) set(flag, value string) {
	p.t.Helper()
	i := slices.Index(p.args, flag)
	if i < 0 {
		p.t.Fatalf("%s has no %s", p.id, flag)
	}
	p.args[i+1] = value
}

// joining makes a newcomer of a process.
func (p *process) joining(endpoints string, more ...string) {
	own := p.args[:slices.Index(p.args, "--client-addr")+2]
	p.args = append(slices.Clone(own), append([]string{"--join", endpoints}, more...)...)
}

// members is what member list says; ok is whether anybody said something.
func (c *processes) members() (g groupJSON, ok bool) {
	c.t.Helper()
	o := c.troupe("member", "list", "--json")
	return g, o.code == exitDone && json.Unmarshal([]byte(o.out), &g) == nil
}

// brief is one line of member list that a test can compare.
func (g *groupJSON) brief() string {
	var all []string
	for _, m := range g.Members {
		text := m.ID
		if !m.Voter {
			text += " learns"
		}
		if !m.Reachable || m.Error != "" {
			text += " is ill"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	if g.Joint {
		all = append(all, "joint")
	}
	return strings.Join(all, ", ")
}

// awaitMembers waits until member list has these members, as brief says them.
func (c *processes) awaitMembers(want string) {
	c.t.Helper()
	has := ""
	defer func() {
		if has != want {
			c.t.Logf("the members are %s", has)
		}
	}()
	eventually(c.t, 30*time.Second, "the members are "+want, func() bool {
		g, ok := c.members()
		has = g.brief()
		return ok && has == want
	})
}

// does runs a command that must succeed, twice: what is so already is no error.
func (c *processes) does(args ...string) {
	c.t.Helper()
	for range 2 {
		var o outcome
		eventually(c.t, 20*time.Second, strings.Join(args, " ")+" is possible", func() bool {
			o = c.troupe(args...)
			return !strings.Contains(o.err, "the member cannot take over: ") // a new leader has not heard the others yet
		})
		if o.code != exitDone || o.err != "" {
			c.t.Errorf("%q: %v", args, o)
		}
	}
}

// counters are writers that count keys up, one each, by compare-and-swap. No call may fail or take effect twice.
type counters struct {
	t       *testing.T
	running sync.WaitGroup
	stopped atomic.Bool
	all     []*counter
}

type counter struct {
	key    string
	client *client.Client
	done   atomic.Int64
	pause  atomic.Int64 // the longest without an answered write
}

func (c *processes) count(writers int, endpoints []string) *counters {
	w := &counters{t: c.t}
	for i := range writers {
		one := &counter{key: fmt.Sprint("count", i), client: client.New(endpoints)}
		w.all = append(w.all, one)
		w.running.Go(func() {
			for last := time.Now(); !w.stopped.Load() && w.next(one); last = time.Now() {
				raise(&one.pause, int64(time.Since(last)))
			}
		})
	}
	c.t.Cleanup(func() {
		w.stop()
		for _, one := range w.all {
			one.client.Close()
		}
	})
	return w
}

func (w *counters) next(c *counter) bool {
	ctx, cancel := within(20 * time.Second)
	defer cancel()
	old, is := []byte(nil), c.done.Load()
	if is > 0 {
		old = fmt.Append(nil, is)
	}
	swapped, version, err := c.client.CompareAndSwap(ctx, c.key, old, fmt.Append(nil, is+1))
	if err != nil || !swapped || version != uint64(is)+1 {
		w.t.Errorf("%s cannot be raised from %d: swapped %t, version %d, %v", c.key, is, swapped, version, err)
		return false
	}
	c.done.Add(1)
	return true
}

// more waits until each counter was raised that often.
func (w *counters) more(count int64) {
	w.t.Helper()
	for _, c := range w.all {
		goal := c.done.Load() + count
		eventually(w.t, 60*time.Second, c.key+" rises", func() bool { return c.done.Load() >= goal || w.t.Failed() })
	}
}

func (w *counters) stop() {
	w.stopped.Store(true)
	w.running.Wait()
}

// check stops the writers, and looks whether all is there.
func (w *counters) check() {
	w.t.Helper()
	w.stop()
	total := int64(0)
	for _, c := range w.all {
		ctx, cancel := within(20 * time.Second)
		value, _, _, err := c.client.Get(ctx, c.key)
		cancel()
		if is := c.done.Load(); err != nil || string(value) != fmt.Sprint(is) {
			w.t.Errorf("%s was raised to %d, and is %q, %v", c.key, is, value, err)
		}
		total += c.done.Load()
	}
	w.t.Logf("%d writes, and none failed", total)
}
