//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// script runs one of examples/operations. Its hook has the test do what it is called for: it names a process, and waits for do to return.
func (c *processes) script(name string, do func(p *process), args ...string) outcome {
	c.t.Helper()
	dir := c.t.TempDir()
	calls, answers := pipe(c.t, dir, "calls"), pipe(c.t, dir, "answers")
	hook := filepath.Join(dir, "hook")
	text := fmt.Sprintf("#!/bin/sh\necho \"$1\" >'%s/calls' && read answer <'%[1]s/answers' && [ \"$answer\" = ok ]\n", dir)
	if err := os.WriteFile(hook, []byte(text), 0o700); err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{filepath.Join("..", "..", "examples", "operations", name), hook}, args...)...)
	cmd.SysProcAttr = endWithParent()
	cmd.Env = append(os.Environ(), "TROUPE="+builtBinary(c.t), "TROUPE_ENDPOINTS="+strings.Join(c.endpoints(), ","), "DEADLINE=30")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // the exit code says it
		calls.Close()
	}()
	for called := bufio.NewScanner(calls); called.Scan(); {
		answer := "there is no such process"
		if i := slices.IndexFunc(c.all, func(p *process) bool { return p.id == called.Text() }); i >= 0 {
			do(c.all[i])
			answer = "ok"
		}
		fmt.Fprintln(answers, answer)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// pipe makes a named pipe, and opens both of its ends, so that nobody waits for the other.
func pipe(t *testing.T, dir, name string) *os.File {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Every node is restarted once, the leader last, and no write fails.
func TestScriptRestartsAll(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	w := c.count(2, c.endpoints())
	w.more(10)
	leader, restarted := c.awaitLeader(), []string{}
	o := c.script("rolling-restart.sh", func(p *process) {
		p.stop()
		p.start()
		restarted = append(restarted, p.id)
	})
	if o.code != exitDone || len(restarted) != 3 || restarted[2] != leader.id || !strings.HasSuffix(o.out, "rolling-restart.sh: done\n") {
		t.Errorf("%s led, and restarted were %v: %v", leader.id, restarted, o)
	}
	w.more(10)
	w.check()
}

// All three nodes are replaced. A run that stopped in the middle is taken up by the next one.
func TestScriptReplacesAll(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	founders := slices.Clone(c.all)
	for _, id := range []string{"n4", "n5", "n6"} {
		c.newcomer(id)
	}
	w := c.count(2, c.endpoints())
	w.more(10)
	start := func(p *process) { p.start() }
	o := c.script("replace.sh", start, "n1=n4", "n2=nobody")
	if o.code != exitFailed || !strings.Contains(o.err, "could not start nobody") {
		t.Errorf("a node that cannot be started: %v", o)
	}
	founders[0].refuses("n1 stops: this node was removed from the group")
	o = c.script("replace.sh", start, "n1=n4", "n2=n5", "n3=n6")
	if o.code != exitDone || strings.Contains(o.out, "starting n4") || !strings.HasSuffix(o.out, "replace.sh: done\n") {
		t.Errorf("the next run: %v", o)
	}
	for _, p := range founders[1:] {
		p.refuses(p.id + " stops: this node was removed from the group")
	}
	c.awaitMembers("n4, n5, n6")
	w.more(10)
	w.check()
}

// Scripts say how they are called, and stop when the cluster is not well.
func TestScriptsRefuse(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for line, code := range map[string]int{
		"rolling-restart.sh": exitUsage, "replace.sh": exitUsage, "replace.sh true": exitUsage, "replace.sh true n1": exitUsage,
		"replace.sh true n1=n1": exitFailed, "rolling-restart.sh true": exitFailed,
	} {
		words := strings.Fields(line)
		cmd := exec.Command("sh", append([]string{filepath.Join("..", "..", "examples", "operations", words[0])}, words[1:]...)...)
		cmd.SysProcAttr = endWithParent()
		cmd.Env = append(os.Environ(), "TROUPE="+builtBinary(t), "TROUPE_ENDPOINTS="+freeAddresses(t, 1)[0], "DEADLINE=0")
		out, _ := cmd.CombinedOutput() // the exit code says it
		said := map[int]string{exitUsage: "TROUPE_ENDPOINTS=HOST:PORT,... " + words[0], exitFailed: words[0] + ": "}[code]
		if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), said) {
			t.Errorf("%s: exit code %d\n%s", line, cmd.ProcessState.ExitCode(), out)
		}
	}
}
