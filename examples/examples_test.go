// Package examples has programs that use troupe, each a main.go of at most 90 lines. Their test runs them.
package examples

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Every example runs by itself, says what it should, and is short.
func TestExamples(t *testing.T) {
	for name, want := range map[string]string{
		"bank": `^(stopping the leader, n\d, after \d+ transfers\n){3}\d+ transfers made, \d+ refused\n` +
			`(n\d has 1000 in all, and in each account what the transfers come to\n){3}$`,
		"counter": `^n(\d) leads, and the total is 100\nn\d leads, and the total is 200\n$`,
		"kv": `^wrote play, version 1\nwrote line, version [12]\nkilling the leader, n\d\nwrote line, version [234]\n` +
			`read play: Hamlet, version 1\nread line: or not to be, version [234]\n$`,
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(name, "main.go"))
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(source, []byte("\n")); lines > 90 {
				t.Errorf("main.go has %d lines, more than 90", lines)
			}
			// Not built with the race detector: three nodes in one process race inside Proto.Actor.
			program := filepath.Join(t.TempDir(), name)
			if out, err := exec.Command("go", "build", "-o", program, "./"+name).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program)
			temporary := t.TempDir()
			cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Run(); err != nil || errs.Len() > 0 || !regexp.MustCompile(want).Match(out.Bytes()) {
				t.Fatalf("%v\nstdout:\n%s\nstderr:\n%s", errors.Join(err, ctx.Err()), &out, &errs)
			}
			isEmpty(t, temporary)

			if runtime.GOOS == "windows" {
				return // there is no signal to send
			}
			endsTidily(t, program, true, map[string]string{
				"bank": "context canceled", "counter": "context canceled", "kv": "no server did it",
			}[name])
			port := map[string]string{"bank": "127.0.0.1:18452", "counter": "127.0.0.1:18472", "kv": "127.0.0.1:18492"}[name]
			taken, err := net.Listen("tcp", port)
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			endsTidily(t, program, name == "kv", port) // the others of kv go on until it is interrupted
		})
	}
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// endsTidily lets an example be interrupted, or find a port taken: it says why it ends, and leaves nothing behind.
func endsTidily(t *testing.T, program string, interrupt bool, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	temporary := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for interrupt && ctx.Err() == nil {
		if found, _ := filepath.Glob(filepath.Join(temporary, "*", "n1")); len(found) > 0 {
			_ = cmd.Process.Signal(os.Interrupt)
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(errs.String(), want) {
		t.Errorf("%v, %v: want %q, not\n%s", err, ctx.Err(), want, &errs)
	}
	isEmpty(t, temporary)
}
