// Package examples has programs that use troupe, each a main.go of at most 80 lines. Their test runs them.
package examples

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// Every example runs by itself, says what it should, and is short.
func TestExamples(t *testing.T) {
	for name, want := range map[string]string{
		"counter": `^n(\d) leads, and the total is 100\nn\d leads, and the total is 200\n$`,
		"kv": `^wrote play, version 1\nwrote line, version [12]\nkilling the leader, n\d\nwrote line, version [234]\n` +
			`read play: Hamlet, version 1\nread line: or not to be, version [234]\n$`,
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(name, "main.go"))
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(source, []byte("\n")); lines > 80 {
				t.Errorf("main.go has %d lines, more than 80", lines)
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
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
