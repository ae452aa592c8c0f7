package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// A follower of term 3 hears entries, then nothing for 40 ms, loses its leader for 30 ms, and hears one of term 5.
func TestWatch(t *testing.T) {
	w := &watch{writes: true, began: make([]uint64, 1), highest: make([]uint64, 1)}
	var s seen
	zero := time.Unix(1000, 0)
	for _, step := range []struct {
		ms     int
		status actors.Status
	}{
		{0, actors.Status{Term: 3, LeaderID: "n1", LastIndex: 7, CommitIndex: 7}},
		{10, actors.Status{Term: 3, LeaderID: "n1", LastIndex: 8, CommitIndex: 7}},
		{20, actors.Status{Term: 3, LeaderID: "n1", LastIndex: 8, CommitIndex: 8}},
		{60, actors.Status{Term: 3, LeaderID: "n1", LastIndex: 9, CommitIndex: 8}},
		{65, actors.Status{Term: 4, LastIndex: 9, CommitIndex: 8}},
		{95, actors.Status{Term: 4, LastIndex: 9, CommitIndex: 9}},
		{100, actors.Status{Term: 5, LeaderID: "n2", LastIndex: 9, CommitIndex: 9}},
	} {
		w.server(&s, 0, step.status, zero.Add(time.Duration(step.ms)*time.Millisecond))
	}
	if w.began[0] != 3 || w.highest[0] != 5 || w.Leaderless != 1 || w.LongestLeaderless != 30 || w.Quiet != 40 {
		t.Errorf("%+v, terms %d to %d", w.watchJSON, w.began[0], w.highest[0])
	}
	want := "lost their leader 1 times, for at most 30 ms; AppendEntries reached every follower at least every 40 ms"
	if text := w.sentence(); !strings.Contains(text, want) {
		t.Error(text)
	}
	if none := (*watchJSON)(nil); none.sentence() != "" {
		t.Error("nothing seen is told")
	}
}
