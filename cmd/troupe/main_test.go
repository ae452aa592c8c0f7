package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDir holds the binary under test, if one is built.
var buildDir string

// actsAsTroupe is in the environment of the processes that tests start: the test binary is troupe there.
const actsAsTroupe = "TROUPE_TEST_ACTS_AS_TROUPE"

func TestMain(m *testing.M) {
	if os.Getenv(actsAsTroupe) != "" {
		main()
	}
	_ = os.Setenv(actsAsTroupe, "1")
	flag.Parse()
	if !isSet("test.parallel") { // the tests mostly wait for other processes
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	dir, err := os.MkdirTemp("", "troupe-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// isSet says whether the flag was given.
func isSet(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// build gives the binary under test: this one, or one without the race detector, which is built once. Three nodes in one process race
// inside Proto.Actor, and times are measured.
var build = sync.OnceValues(func() (string, error) {
	if !raceDetector {
		return os.Executable()
	}
	path := filepath.Join(buildDir, "troupe")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func builtBinary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("cannot build troupe: %v", err)
	}
	return path
}

// outcome is what a command line came to.
type outcome struct {
	code     int
	out, err string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", o.code, o.out, o.err)
}

// troupe runs the binary with arguments and, perhaps, input.
func troupe(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, builtBinary(t), args...)
	cmd.SysProcAttr = endWithParent()
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "TROUPE_ENDPOINTS=")
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("cannot run troupe %q: %v", args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// here runs a command line in this process, for what needs no cluster.
func here(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	term := &terminal{in: strings.NewReader(""), out: &out, err: &errs, env: func(name string) string { return env[name] }}
	code := run(t.Context(), term, args)
	return outcome{code, out.String(), errs.String()}
}

// eventually polls until done says so, and fails the test when that takes longer than limit.
func eventually(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind in %s: %v, %v", dir, left, err)
	}
}
