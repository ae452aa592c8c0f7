//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// noted is what a process has printed so far.
type noted struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *noted) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// signalled starts the binary, sends it a signal when due says so, and returns what it came to.
func signalled(t *testing.T, s syscall.Signal, due func(out, errs string) bool, args ...string) outcome {
	t.Helper()
	stdin, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	defer stdin.Close()
	cmd := exec.Command(builtBinary(t), args...)
	cmd.SysProcAttr = endWithParent()
	var out, errs noted
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, io.Writer(&out), io.Writer(&errs)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code says it
		close(ended)
	}()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	eventually(t, 30*time.Second, "the signal is due", func() bool { return due(out.String(), errs.String()) })
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("troupe %q goes on after the signal", args)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A seed of any length is left alone, in this process and in others.
func TestSignalEndsSimulate(t *testing.T) {
	t.Parallel()
	for args, begin := range map[string]string{
		"--seeds 1 --steps 1000000000":    "interrupted after 0 of 1 seeds: none failed\n",
		"--seeds 1000000":                 "interrupted after ",
		"--seeds 1000 --steps 1000000000": "interrupted after 0 of 1000 seeds: none failed\n",
	} {
		progress := func(out, _ string) bool { return strings.Contains(out, " steps/s\n") }
		o := signalled(t, syscall.SIGINT, progress, append([]string{"simulate"}, strings.Fields(args)...)...)
		said, _ := strings.CutPrefix(o.err, "troupe simulate: ")
		if o.code != exitFailed || !strings.HasPrefix(said, begin) || !strings.HasSuffix(said, "seeds: none failed\n") {
			t.Errorf("simulate %s: %v", args, o)
		}
	}
}

// Wherever a signal meets bench, it says only that, and leaves nothing behind.
func TestSignalEndsBench(t *testing.T) {
	t.Parallel()
	for _, nodes := range []string{"n1", "n3", ""} {
		dir := t.TempDir()
		due := func(_, errs string) bool { return strings.HasPrefix(errs, "measuring ") }
		if nodes != "" {
			due = func(string, string) bool {
				found, _ := filepath.Glob(filepath.Join(dir, "*", nodes))
				return len(found) > 0
			}
		}
		o := signalled(t, syscall.SIGTERM, due, "bench", "--local", "3", "--sync-time", "20ms", "--dir", dir)
		said := strings.TrimPrefix(o.err, "measuring put with 256 clients for 10s\n")
		if o.code != exitFailed || o.out != "" || said != "troupe bench: interrupted\n" {
			t.Errorf("when %q is there: %v", nodes, o)
		}
		isEmpty(t, dir)
	}
}
