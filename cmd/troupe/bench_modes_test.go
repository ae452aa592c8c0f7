package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// benched runs troupe bench briefly. In so short a time a busy machine may do nothing at all: then it is tried again.
func benched(t *testing.T, args ...string) outcome {
	t.Helper()
	dir := t.TempDir()
	all := append([]string{"bench", "--dir", dir, "--duration", "400ms", "--warmup", "100ms"}, args...)
	o := troupe(t, "", all...)
	for again := 0; again < 5 && strings.Contains(o.err, "no operation succeeded"); again++ {
		o = troupe(t, "", all...)
	}
	if o.code != 0 {
		t.Fatalf("%q: %v", args, o)
	}
	isEmpty(t, dir)
	return o
}

// measured is the one line of benched with --json.
func measured(t *testing.T, into any, args ...string) string {
	t.Helper()
	o := benched(t, append(args, "--json")...)
	if o.err != "" || strings.Count(o.out, "\n") != 1 {
		t.Fatalf("%q: %v", args, o)
	}
	if err := json.Unmarshal([]byte(o.out), into); err != nil {
		t.Fatalf("%q: %v: %s", args, err, o.out)
	}
	return o.out
}

func TestBenchGroups(t *testing.T) {
	t.Parallel() // most of the time is spent waiting for elections
	var line struct {
		Groups       int
		OpsPerSecond float64 `json:"ops_per_second"`
	}
	out := measured(t, &line, "--local", "3", "--groups", "20", "--clients", "40", "--op", "mixed")
	if line.Groups != 20 || line.OpsPerSecond <= 0 {
		t.Error(out)
	}
}

func TestBenchNodes(t *testing.T) {
	t.Parallel()
	for _, nodes := range []string{"1", "5", "7"} {
		line := map[string]any{}
		if out := measured(t, &line, "--local", nodes, "--clients", "8"); line["operations"] == 0.0 {
			t.Errorf("%s nodes: %s", nodes, out)
		}
	}
}

func TestBenchIdle(t *testing.T) {
	t.Parallel()
	var line struct {
		Nodes, Groups, Goroutines int
		CPU                       float64 `json:"cpu_s_per_s"`
		WakeUps                   float64 `json:"wakeups_per_s"`
		Resident                  uint64  `json:"resident_bytes"`
		WakeUpsEach               float64 `json:"wakeups_per_s_each"`
		ResidentEach              float64 `json:"resident_bytes_each"`
		Led                       float64 `json:"all_led_s"`
	}
	out := measured(t, &line, "--local", "3", "--groups", "10", "--op", "idle")
	if line.Nodes != 3 || line.Groups != 10 || line.CPU <= 0 || line.WakeUps <= 0 || line.Resident == 0 || line.Goroutines == 0 ||
		line.ResidentEach > float64(line.Resident)/29 || line.WakeUpsEach > line.WakeUps/29 || line.Led <= 0 {
		t.Error(out)
	}
}

// offered is some of what --rate prints.
type offered struct {
	Offered      float64 `json:"offered_per_second"`
	Achieved     float64 `json:"achieved_per_second"`
	P50          float64 `json:"p50_us"`
	P999         float64 `json:"p999_us"`
	Max          float64 `json:"max_us"`
	Errors       uint64
	NotStarted   uint64 `json:"not_started"`
	MostUnderWay int64  `json:"most_under_way"`
	Watch        *struct{ Elections uint64 }
}

func TestBenchRate(t *testing.T) {
	t.Parallel()
	var line offered
	out := measured(t, &line, "--local", "3", "--rate", "500", "--arrivals", "poisson", "--seed", "5")
	if line.Offered < 300 || line.Offered > 700 || line.Achieved+line.P50 <= 0 || line.Watch == nil || line.Max < line.P999 {
		t.Error(out)
	}
}

// Mail is answered by mail, also when the nodes are so few that one of them must lead all groups.
func TestBenchMail(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--local 3", "--local 1 --groups 5 --op mixed", "--local 3 --follower stopped"} {
		var line offered
		out := measured(t, &line, append(strings.Fields(args), "--rate", "400", "--mail")...)
		if line.Achieved+line.P50 <= 0 || line.Errors > 0 || line.Watch == nil {
			t.Error(out)
		}
	}
}

// Far more than anything can do: the bench stays within bounds, and says what it could not start.
func TestBenchRateFarAboveCapacity(t *testing.T) {
	t.Parallel()
	var line offered
	out := measured(t, &line, "--local", "1", "--rate", "10000000")
	if line.NotStarted == 0 || line.MostUnderWay > 200_000 || line.Offered < 9e6 {
		t.Error(out)
	}
}

func TestBenchFollower(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"stopped", "late"} {
		for _, load := range [][]string{{"--clients", "8"}, {"--rate", "300"}} {
			var line struct {
				Follower *struct {
					ID      string
					Behind  uint64  `json:"entries_behind"`
					CaughtS float64 `json:"caught_up_s"`
				}
			}
			out := measured(t, &line, append(load, "--local", "3", "--follower", mode)...)
			if f := line.Follower; f == nil || f.ID == "" || (mode == "late") != (f.CaughtS > 0 && f.Behind > 0) {
				t.Error(out)
			}
		}
	}
}

func TestBenchRecover(t *testing.T) {
	t.Parallel()
	for _, nodes := range []string{"1", "3"} {
		var line struct {
			Entries      uint64
			ValueSize    int     `json:"value_size"`
			DiskPerEntry float64 `json:"bytes_per_entry"`
			LedS         float64 `json:"led_s"`
			AppliedS     float64 `json:"applied_s"`
			EntriesPerS  float64 `json:"entries_per_second"`
		}
		out := measured(t, &line, "--local", nodes, "--recover", "5000")
		if line.Entries < 5000 || line.ValueSize != 16 || line.DiskPerEntry < 16 || line.AppliedS < line.LedS || line.EntriesPerS <= 0 {
			t.Error(out)
		}
	}
}

// What people see, in sentences.
func TestBenchSentences(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"--groups 3 --clients 6":            {"6 clients: ", "put/s"},
		"--groups 3 --op idle":              {"3 idle groups on 3 nodes: ", "for each group and node: ", " wake-ups/s", "had a leader"},
		"--rate 200":                        {"offered 200 put/s, achieved ", "overloaded", "elections: ", "AppendEntries reached every"},
		"--clients 4 --follower late":       {"came late, with"},
		"--clients 4 --follower stopped":    {"was stopped after a quarter of the time"},
		"--recover 1000 --value-size 100":   {" entries of 100 bytes to 3 nodes", "bytes per entry", "started again: "},
		"--rate 200 --op get":               {"offered 200 get/s", "elections: "},
		"--rate 200 --groups 5 --op mixed ": {"offered 200 mixed/s", "elections: "},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			o := benched(t, append(strings.Fields(line), "--local", "3")...)
			for _, text := range want {
				if !strings.Contains(o.out, text) {
					t.Errorf("it does not say %q: %v", text, o)
				}
			}
		})
	}
}
