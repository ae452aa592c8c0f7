//go:build unix

package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// page is what one of the process's health pages says.
func (p *process) page(path string) (code int, text string) {
	client := http.Client{Timeout: time.Second}
	r, err := client.Get("http://" + p.clients + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

// awaitPage waits until the page answers with the code and all the words.
func (p *process) awaitPage(path string, code int, words ...string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, p.id+path+" answers "+strings.Join(words, ", "), func() bool {
		got, text := p.page(path)
		return got == code && containsAll(text, words...)
	})
}

func (p *process) awaitLog(words ...string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, "the log of "+p.id+" says "+strings.Join(words, ", "), func() bool {
		for _, line := range strings.Split(p.log(), "\n") {
			if containsAll(line, words...) {
				return true
			}
		}
		return false
	})
}

func containsAll(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func TestAWipedNodeSaysThatItDoesNotCount(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	for _, p := range c.all {
		p.awaitPage("/readyz", 200, "ok")
	}
	leader := c.awaitLeader()
	wiped := c.without(leader)[0]
	wiped.signal(syscall.SIGTERM)
	wiped.wait(20 * time.Second)
	if err := os.RemoveAll(strings.TrimSuffix(wiped.logPath, ".log")); err != nil {
		t.Fatal(err)
	}
	wiped.start()
	wiped.awaitPage("/readyz", 503, "does not count", "own directory", leader.id)
	wiped.awaitLog("level=WARN", "another data directory", leader.id)
	leader.awaitLog("level=WARN", "another data directory", wiped.id)
	if o := c.troupe("status"); o.code != 0 || !strings.Contains(o.out, "does not count") {
		t.Error(o)
	}
}

func TestALoneSurvivorSaysSo(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	survivor := c.awaitLeader()
	others := c.without(survivor)
	for _, p := range others {
		p.kill()
	}
	survivor.awaitPage("/readyz", 503, "no leader is known", others[0].id, others[1].id)
	survivor.awaitLog("level=WARN", "no leader is known", others[0].id, others[1].id)
	o := troupe(t, "", "status", "--endpoints", survivor.clients)
	if o.code != 0 || !containsAll(o.out, "No leader is known: an election needs 2 of 3 members", "candidate") {
		t.Error(o)
	}
	for _, p := range others {
		p.start()
		p.awaitPage("/readyz", 200, "ok")
	}
	survivor.awaitPage("/readyz", 200, "ok")
	survivor.awaitLog("level=WARN", "a leader is known again")
}

func TestAFoundingNamesWhoIsMissing(t *testing.T) {
	t.Parallel()
	c := newProcesses(t)
	for _, p := range c.all[:2] {
		p.start()
	}
	for _, p := range c.all[:2] {
		p.awaitPage("/readyz", 503, "not founded yet", "all 3 members", "n3 is not heard")
		p.awaitLog("level=WARN", "not founded yet", "n3 is not heard")
	}
	if o := c.troupe("put", "k", "v", "--timeout", "1s"); o.code != 1 || !containsAll(o.err, "not founded yet", "n3 is not heard") {
		t.Error(o)
	}
	if o := c.troupe("status"); o.code != 0 || !containsAll(o.out, "The group is not founded yet", "n3 is not heard") {
		t.Error(o)
	}
	c.all[2].start()
	for _, p := range c.all {
		p.awaitPage("/readyz", 200, "ok")
	}
}

// The first to answer does not wait for who cannot.
func TestStatusTellsWhatItKnowsInTime(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	leader := c.awaitLeader()
	dead := c.without(leader)[0]
	dead.kill()
	frozen := c.without(leader, dead)[0]
	frozen.freeze()
	for _, timeout := range []string{"450ms", "5s"} {
		o := troupe(t, "", "status", "--endpoints", leader.clients, "--timeout", timeout)
		if o.code != 0 || !containsAll(o.out, leader.id+" ", "it does not run, or cannot be reached", "no answer in time") {
			t.Error(timeout, o)
		}
	}
	frozen.signal(syscall.SIGCONT)
}

// without is all processes but those.
func (c *processes) without(some ...*process) (others []*process) {
next:
	for _, p := range c.all {
		for _, o := range some {
			if o == p {
				continue next
			}
		}
		others = append(others, p)
	}
	return others
}
