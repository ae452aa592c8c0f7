package main

import (
	"encoding/json"
	"os"
	"path/filepath"
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

func TestBenchLocal(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(t.TempDir(), "cpu"), filepath.Join(t.TempDir(), "mem")
	for _, op := range []string{"put", "get", "mixed"} {
		o := troupe(t, "", "bench", "--local", "3", "--op", op, "--clients", "8,16", "--duration", "300ms", "--warmup", "50ms", "--json", "--dir", dir,
			"--cpuprofile", cpu, "--memprofile", mem)
		lines := strings.Split(strings.TrimSpace(o.out), "\n")
		if o.code != 0 || o.err != "" || len(lines) != 2 {
			t.Fatalf("bench %s: %v", op, o)
		}
		for _, line := range lines {
			m := numbers(t, line)
			if m["ops_per_second"] <= 0 || m["p50_us"] <= 0 || m["p99_us"] < m["p50_us"] || m["p999_us"] < m["p99_us"] || m["errors"] != 0 || m["seconds"] < 0.3 || len(m) != 6 {
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

// The flags and the fields are those of peerbench.
func TestBenchPeerbench(t *testing.T) {
	o := troupe(t, "", "bench", "--local", "3", "--peerbench",
		"-op", "write", "-value", "64", "-clients", "1,32", "-seconds", "0.3", "-warmup", "0.1", "-dir", t.TempDir())
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	if o.code != 0 || len(lines) != 2 {
		t.Fatalf("bench: %v", o)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, `{"system":"troupe","op":"write","clients":`) {
			t.Errorf("line: %s", line)
		}
		m := numbers(t, line)
		if m["clients"] != []float64{1, 32}[i] || m["value"] != 64 || m["ops"] <= 0 || m["max_us"] < m["p999_us"] {
			t.Errorf("line: %s", line)
		}
		for _, name := range []string{"seconds", "ops_per_s", "p50_us", "p99_us", "p999_us", "allocs_per_op", "alloc_bytes_per_op", "cpu_s_per_kop", "cores_used"} {
			if m[name] <= 0 {
				t.Errorf("%s is %v", name, m[name])
			}
		}
		for _, name := range []string{"errors", "others_cores", "disk_flushes_per_s"} {
			if _, there := m[name]; !there {
				t.Errorf("%s is missing", name)
			}
		}
	}
}
