package main

import (
	"os/exec"
	"strings"
	"testing"
)

// A seed gives the same run in another process, to the last message: its hash is part of what is printed.
func TestSeedsReplayInOtherProcesses(t *testing.T) {
	t.Parallel()
	play := func() string {
		out, err := exec.Command(builtBinary(t), "simulate", "--json", "--seeds", "5", "--seed", "40", "--steps", "5000").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	once, again := play(), play()
	if once != again || strings.Count(once, `"hash":"`) != 5 {
		t.Fatalf("once:\n%s\nagain:\n%s", once, again)
	}
}

// Many seeds are played in several processes; together they come to as many.
func TestManySeeds(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(builtBinary(t), "simulate", "--seeds", "450", "--steps", "20", "--nodes", "1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\n450 seeds, ") {
		t.Fatalf("%v\n%s", err, out)
	}
}
