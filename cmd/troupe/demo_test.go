//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := troupe(t, "", "demo", "--for", "3s", "--writers", "16", "--dir", dir)
	if o.code != 0 || o.err != "" || !strings.HasSuffix(o.out, "every acknowledged write is there\n") {
		t.Fatalf("demo: %v", o)
	}
	story := regexp.MustCompile(`(?s)kill -9 of (n\d), which leads: process (\d+)\n.*` +
		`(n\d) leads now: writes stood still for \d+ ms\n.*` +
		`(n\d) is started again.*` +
		`(n\d) follows, and has everything after \d+ ms\n.*` +
		`(n\d), which leads, is cut off.*` +
		`(n\d) leads now: writes stood still for \d+ ms\n.*` +
		`(n\d) hears no other node, and has stepped down by itself\n.*` +
		`(n\d) is connected again\n.*` +
		`(n\d) follows, and has everything after \d+ ms\n.*` +
		` writes were acknowledged, .*the outcome of \d+ is unknown`).FindStringSubmatch(o.out)
	if story == nil {
		t.Fatalf("the demo tells another story:\n%s", o.out)
	}
	killed, pid, second, cut, third := story[1], story[2], story[3], story[6], story[7]
	cameBack := slices.Equal(story[4:6], []string{killed, killed}) && slices.Equal(story[8:11], []string{cut, cut, cut})
	if second == killed || third == cut || !cameBack {
		t.Errorf("the nodes are mixed up: %q\n%s", story[1:], o.out)
	}
	if !strings.Contains(o.out, killed+" is process "+pid) {
		t.Errorf("process %s was never started:\n%s", pid, o.out)
	}
	begin, _, _ := strings.Cut(o.out, "\n")
	if at := regexp.MustCompile(`^  0\.\ds  .*kill -9.*cut off`); !at.MatchString(begin) {
		t.Errorf("it does not say at once what will happen: %s", begin)
	}
	allGone(t, o.out)
	isEmpty(t, dir)
	t.Log("\n" + o.out)
}

var processLine = regexp.MustCompile(`process (\d+)`)

// allGone fails the test when a process that the demo named goes on.
func allGone(t *testing.T, out string) {
	t.Helper()
	named := processLine.FindAllStringSubmatch(out, -1)
	if len(named) < 3 {
		t.Fatalf("the demo names %d processes:\n%s", len(named), out)
	}
	for _, pid := range named {
		eventually(t, 20*time.Second, "process "+pid[1]+" is gone", func() bool {
			state, err := exec.Command("ps", "-o", "state=", "-p", pid[1]).Output()
			return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
		})
	}
}

// Wherever a signal meets the demo, no process is left: it ends them, and when it cannot, they notice.
func TestSignalEndsDemo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		signal syscall.Signal
		due    string
	}{
		{syscall.SIGINT, "n3 is process"}, {syscall.SIGTERM, "kill -9 of"}, {syscall.SIGKILL, " clients write for"},
	} {
		dir := t.TempDir()
		o := signalled(t, c.signal, func(out, _ string) bool { return strings.Contains(out, c.due) }, "demo", "--for", "3s", "--dir", dir)
		allGone(t, o.out)
		if c.signal == syscall.SIGKILL {
			continue
		}
		if o.code != exitFailed || o.err != "troupe demo: interrupted\n" {
			t.Errorf("%v at %q: %v", c.signal, c.due, o)
		}
		isEmpty(t, dir)
	}
}

// When something is wrong, the exit code says so, and what is needed to find out why stays.
func TestDemoFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	due := func(out, _ string) bool {
		if !strings.Contains(out, " clients write for") {
			return false
		}
		for _, pid := range processLine.FindAllStringSubmatch(out, -1) {
			number, _ := strconv.Atoi(pid[1])
			if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		return true
	}
	o := signalled(t, syscall.SIGCONT, due, "demo", "--for", "3s", "--dir", dir)
	said := regexp.MustCompile(`^troupe demo: node n\d ended by itself; the data and the logs are in (.*)\n$`).FindStringSubmatch(o.err)
	if o.code != exitFailed || said == nil {
		t.Fatalf("a demo whose nodes were killed: %v", o)
	}
	for _, file := range []string{"n1.log", "n1/SEQUENCE"} {
		if _, err := os.Stat(filepath.Join(said[1], file)); err != nil {
			t.Errorf("%s is gone: %v", file, err)
		}
	}
	allGone(t, o.out)
}
