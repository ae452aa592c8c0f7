package main

import (
	"strings"
	"testing"
)

// Wrong usage of what measures growth; the rest is in TestWrongUsage.
func TestBenchWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"--local 3 --groups 0":                       "--groups takes 1 to 10000",
		"--local 3 --groups 10001":                   "--groups takes 1 to 10000",
		"--endpoints 127.0.0.1:1 --groups 2":         "--groups needs nodes in this process: leave out --endpoints",
		"--endpoints 127.0.0.1:1 --op idle":          "--op idle needs nodes in this process",
		"--endpoints 127.0.0.1:1 --follower late":    "--follower needs nodes in this process",
		"--endpoints 127.0.0.1:1 --recover 10":       "--recover needs nodes in this process",
		"--endpoints 127.0.0.1:1 --sync-time 10ms":   "--sync-time needs nodes in this process",
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
		"--local 3 --peerbench":                      "there is no flag --peerbench",
		"--local 3 --value-size 1048577":             "--value-size must be at most 1048576",
	} {
		o := here(t, nil, append([]string{"bench"}, strings.Fields(line)...)...)
		if o.code != exitUsage || o.out != "" || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
	}
	o := here(t, nil, "bench", "--local", "9", "--recover", "1000000000", "--value-size", "1048576", "--dir", t.TempDir())
	if o.code != exitFailed || !strings.Contains(o.err, "GiB are free: name another disk") {
		t.Errorf("no room: %v", o)
	}
}
