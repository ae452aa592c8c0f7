package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind in %s: %v, %v", dir, left, err)
	}
}

// One line for each number of clients, with exactly the fields that help promises, in that order.
func TestBenchLocal(t *testing.T) {
	_, after, _ := strings.Cut(here(t, nil, "help", "bench").out, "With --json: {")
	text, _, _ := strings.Cut(after, "}")
	promised := strings.ReplaceAll(text, "\n", "")
	dir := t.TempDir()
	cpu, mem := filepath.Join(t.TempDir(), "cpu"), filepath.Join(t.TempDir(), "mem")
	for _, op := range []string{"put", "get", "mixed"} {
		o := troupe(t, "", "bench", "--local", "3", "--op", op, "--clients", "8,16", "--value-size", "64", "--duration", "300ms", "--warmup", "50ms",
			"--json", "--dir", dir, "--cpuprofile", cpu, "--memprofile", mem)
		lines := strings.Split(strings.TrimSpace(o.out), "\n")
		if o.code != 0 || o.err != "" || len(lines) != 2 {
			t.Fatalf("bench %s: %v", op, o)
		}
		for i, line := range lines {
			if got := fieldNames(line); got != promised {
				t.Errorf("the fields are %s, but help says %s", got, promised)
			}
			m := numbers(t, line)
			if m["clients"] != []float64{8, 16}[i] || m["value_size"] != 64 || m["errors"] != 0 || m["seconds"] < 0.3 ||
				!strings.Contains(line, `"op":"`+op+`"`) || !strings.Contains(line, `"first_error":""`) {
				t.Errorf("bench %s: %s", op, line)
			}
			if m["p50_us"] <= 0 || m["p99_us"] < m["p50_us"] || m["p999_us"] < m["p99_us"] || m["max_us"] < m["p999_us"] {
				t.Errorf("bench %s: %s", op, line)
			}
			if rate := m["operations"] / m["seconds"]; m["operations"] < 1 || math.Abs(rate-m["ops_per_second"]) > 1e-6*rate {
				t.Errorf("bench %s: %s", op, line)
			}
			if m["allocs_per_op"] < 1 || m["alloc_bytes_per_op"] < 64 || runtime.GOOS == "linux" && m["cpu_us_per_op"] <= 0 {
				t.Errorf("bench %s: %s", op, line)
			}
		}
	}
	for _, profile := range []string{cpu, mem} {
		if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
			t.Errorf("profile: %v", err)
		}
	}
	isEmpty(t, dir)
}

// fieldNames are the names in a JSON object, in quotes, in their order, with commas between them.
func fieldNames(object string) string {
	names := regexp.MustCompile(`"\w+":`).FindAllString(object, -1)
	return strings.ReplaceAll(strings.Join(names, ","), ":", "")
}

func numbers(t *testing.T, line string) map[string]float64 {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	m := map[string]float64{}
	for name, value := range fields {
		m[name], _ = value.(float64)
	}
	return m
}
