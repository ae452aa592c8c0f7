package cluster_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// A node that is dialed before its groups are started, one after the other, refuses nobody, and says at its end that it stops.
func TestAClusterStartsWithoutWarnings(t *testing.T) {
	if !alone(t) {
		return
	}
	specs := clusterSpecs(t, 3)
	all, err := cluster.ParseMembers(specs[0].Members)
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	c := specs[0].Config
	c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	node, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, node)
	others := []*process{startProcess(t, specs[1]), startProcess(t, specs[2])}
	eventually(t, "the others are put off", func() bool { return strings.Contains(log.String(), "does not know all peers yet") })
	start := func(name string, members []actors.Member) *cluster.Group {
		g, err := node.StartGroup(t.Context(), name, members, kv.NewMap())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	start("alone", all[:1])
	time.Sleep(500 * time.Millisecond) // the others try again
	g := start("kv", all)
	eventually(t, "a leader", func() bool { return g.Status().LeaderID != "" })
	shutdown(t, node)
	for _, p := range others {
		p.end()
	}
	for id, text := range map[string]string{"n1": log.String(), "n2": others[0].errors.String(), "n3": others[1].errors.String()} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "refuse") && !strings.Contains(line, "DEBUG") || strings.Contains(line, "not a peer any more") {
				t.Errorf("%s says: %s", id, line)
			}
		}
	}
	if strings.Count(log.String(), `reason="this node stops"`) != 2 {
		t.Errorf("n1 does not say that it stops:\n%s", &log)
	}
}
