package main

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/bench"
)

// One line for each number of clients, with exactly the fields that help promises, in that order.
func TestBenchLocal(t *testing.T) {
	t.Parallel()
	_, after, _ := strings.Cut(here(t, nil, "help", "bench").out, "With --json: {")
	text, _, _ := strings.Cut(after, "}")
	promised := strings.ReplaceAll(text, "\n", "")
	dir := t.TempDir()
	cpu, mem := filepath.Join(t.TempDir(), "cpu"), filepath.Join(t.TempDir(), "mem")
	for _, op := range []string{"put", "get", "mixed"} {
		o := troupe(t, "", "bench", "--local", "3", "--op", op, "--clients", "8,16", "--value-size", "64", "--duration", "300ms",
			"--warmup", "50ms", "--json", "--dir", dir, "--cpuprofile", cpu, "--memprofile", mem)
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

// Wrong usage is as in TestWrongUsage; what names a running cluster in the environment changes nothing.
func TestBenchWrongUsage(t *testing.T) {
	somewhere := map[string]string{"TROUPE_ENDPOINTS": "127.0.0.1:1"}
	for line, want := range map[string]string{
		"--local 3 --op frob":                        `--op "frob" is not one of`,
		"--local 3 --clients 0":                      `--clients "0" is not a number`,
		"--local 3 --clients 1,x":                    `--clients "1,x" is not a number`,
		"--local 99":                                 "--local takes 1 to 9 nodes",
		"--local 3 --endpoints 127.0.0.1:1":          "exclude each other",
		"--local 0":                                  "--local takes 1 to 9 nodes",
		"--endpoints=":                               "--endpoints is empty",
		"--endpoints=,":                              "no endpoints are given",
		"--groups 2 --endpoints 127.0.0.1:1":         "leave out --endpoints",
		"--local 3 --value-size -1":                  "--value-size must not be negative",
		"--local 3 --duration 0":                     "--duration must be more than 0",
		"--local 3 --duration NaN":                   `"NaN" is no value for --duration: write a duration such as 10s`,
		"--local 3 --duration Inf":                   "it must be at most 1000h",
		"--local 3 --duration 1e300":                 "it must be at most 1000h",
		"--local 3 --duration 2000000h":              "it must be at most 1000h",
		"--local 3 --duration -Inf":                  "it must not be negative",
		"--local 3 --warmup -1s":                     "it must not be negative",
		"--local 3 --clients 1 --groups x":           `"x" is no value for --groups: it cannot be read`,
		"--local 3 --groups 0":                       "--groups takes 1 to 10000",
		"--local 3 --groups 10001":                   "--groups takes 1 to 10000",
		"--endpoints 127.0.0.1:1 --groups 2":         "--groups needs nodes in this process: leave out --endpoints",
		"--endpoints 127.0.0.1:1 --op idle":          "--op idle needs nodes in this process",
		"--endpoints 127.0.0.1:1 --follower late":    "--follower needs nodes in this process",
		"--endpoints 127.0.0.1:1 --recover 10":       "--recover needs nodes in this process",
		"--endpoints 127.0.0.1:1 --sync-time 10ms":   "--sync-time needs nodes in this process",
		"--endpoints 127.0.0.1:1 --port":             "--port needs nodes in this process",
		"--port --groups 2":                          "--port measures the one group that clients reach",
		"--port --op idle":                           "--port and --sessions are for --clients and --rate",
		"--sessions=false --recover 5":               "--port and --sessions are for --clients and --rate",
		"--local 3 --sync-time -1s":                  "it must not be negative",
		"--local 3 --sync-time 1001ms":               "--sync-time must be at most 1s",
		"--local 3 --rate 0":                         "--rate takes more than 0",
		"--local 3 --rate -1":                        "--rate takes more than 0",
		"--local 3 --rate NaN":                       "--rate takes more than 0",
		"--local 3 --rate 1e9":                       "--rate takes more than 0 and up to 10000000",
		"--local 3 --rate 10 --clients 5":            "--rate and --clients exclude each other",
		"--local 3 --rate 10 --arrivals random":      `--arrivals "random" is not one of even, poisson`,
		"--local 3 --seed 3":                         "--arrivals, --seed and --mail are for --rate",
		"--endpoints 127.0.0.1:1 --rate 10 --mail":   "--mail needs nodes in this process",
		"--local 3 --follower lost":                  `--follower "lost" is not one of stopped, late`,
		"--local 2 --follower late":                  "use --local 3 or more",
		"--local 3 --groups 2 --follower stopped":    "leave out --groups",
		"--local 3 --clients 1,2 --follower stopped": "give --clients one number",
		"--local 3 --recover 0":                      "--recover takes 1 to",
		"--local 3 --recover 5 --groups 2":           "leave out --groups",
		"--local 3 --recover 5 --op get":             "leave out --groups, --op",
		"--local 3 --op idle --clients 3":            "--op idle has no load",
		"--local 3 --op idle --rate 3":               "--op idle has no load",
		"--local 3 --op idle --value-size 3":         "--op idle has no load",
		"--local 3 --value-size 1048577":             "--value-size must be at most 1048576",
		"--local 3 --recover 5 --value-size 1048577": "--value-size must be at most 1048576",
		"--local 3 --recover 5 --duration 0":         "--duration must be more than 0",
		"--local 3 --timeout 0":                      "--timeout must be more than 0",
		"--local 3 --peerbench":                      "there is no flag --peerbench",
	} {
		o := here(t, somewhere, append([]string{"bench"}, strings.Fields(line)...)...)
		if o.code != exitUsage || o.out != "" || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
	}
	o := here(t, nil, "bench", "--local", "9", "--recover", "1000000000", "--value-size", "1048576", "--dir", t.TempDir())
	if o.code != exitFailed || !strings.Contains(o.err, "GiB are free: name another disk") {
		t.Errorf("no room: %v", o)
	}
}

// The flags choose the mode, and only --endpoints chooses a running cluster.
func TestBenchModes(t *testing.T) {
	const at = "127.0.0.1:7"
	local := bench.Local{Nodes: 3, Groups: 1}
	remote := bench.Remote{Endpoints: []string{at}, Timeout: 5 * time.Second}
	work, window := bench.Workload{Op: bench.Put, ValueSize: 128}, bench.Window{Warmup: time.Second, Measure: 10 * time.Second}
	offer := bench.Offer{Workload: work, Window: window, Pace: bench.Pace{Rate: 5, Arrivals: bench.Even, Seed: 1}}
	rare := bench.Offer{
		Workload: bench.Workload{Op: bench.Mixed, ValueSize: 9}, Window: bench.Window{Measure: 2 * time.Second},
		Pace: bench.Pace{Rate: 7, Arrivals: bench.Poisson, Seed: 3}, Follower: bench.Stopped,
	}
	for line, want := range map[string]bench.Mode{
		"":                  bench.Closed{System: local, Workload: work, Window: window, Clients: []int{256}},
		"--endpoints " + at: bench.Closed{System: remote, Workload: work, Window: window, Clients: []int{256}},
		"--clients 1,2 --op get --local 1 --groups 4 --dir d --sync-time 5ms": bench.Closed{
			System:   bench.Local{Nodes: 1, Groups: 4, Dir: "d", SyncTime: 5 * time.Millisecond},
			Workload: bench.Workload{Op: bench.Get, ValueSize: 128}, Window: window, Clients: []int{1, 2},
		},
		"--clients 2 --follower late": bench.Closed{
			System: local, Workload: work, Window: window, Clients: []int{2}, Follower: bench.Late,
		},
		"--port --sessions=false": bench.Closed{
			System:   bench.Local{Nodes: 3, Groups: 1, Port: true, AtMostOnce: true},
			Workload: work, Window: window, Clients: []int{256},
		},
		"--rate 5":                       bench.Open{System: local, Offer: offer},
		"--rate 5 --endpoints " + at:     bench.Open{System: remote, Offer: offer},
		"--rate 5 --mail":                bench.Mail{Local: local, Offer: offer},
		"--op idle --local 5 --groups 9": bench.Idle{Local: bench.Local{Nodes: 5, Groups: 9}, Window: window},
		"--recover 8":                    bench.Recover{Local: local, Entries: 8, ValueSize: 16},
		"--recover 8 --value-size 128":   bench.Recover{Local: local, Entries: 8, ValueSize: 128},
		"--rate 7 --arrivals poisson --seed 3 --op mixed --value-size 9 --duration 2s --warmup 0 --follower stopped": bench.Open{
			System: local, Offer: rare,
		},
	} {
		flags := flag.NewFlagSet("bench", flag.ContinueOnError)
		b := benchFlags{all: flags}
		b.register()
		if _, err := parse(flags, strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		elsewhere := map[string]string{"TROUPE_ENDPOINTS": "127.0.0.1:99"}
		mode, err := b.mode(&terminal{env: func(name string) string { return elsewhere[name] }})
		if err != nil || mode.Check() != nil || !reflect.DeepEqual(mode, want) {
			t.Errorf("%q is %+v, %v, not %+v", line, mode, err, want)
		}
	}
}
