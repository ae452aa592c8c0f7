package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// TestAShutdownHandsOverAllGroups: what clients notice of a node that stops in good order is not an election timeout.
func TestAShutdownHandsOverAllGroups(t *testing.T) {
	if raceDetector {
		t.Skip("two remotes in one process race inside Proto.Actor")
	}
	if !alone(t) {
		return
	}
	const groups = 100
	specs := clusterSpecs(t, 3)
	members, err := cluster.ParseMembers(specs[0].Members)
	if err != nil {
		t.Fatal(err)
	}
	nodes := make([]*cluster.Node, len(specs))
	for i, spec := range specs {
		spec.Config.Logger = testLogger(t)
		if nodes[i], err = cluster.Start(t.Context(), spec.Config); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shutdown(t, nodes[i]) })
		for g := range groups {
			if _, err := nodes[i].StartGroup(t.Context(), groupNamed(g), members, kv.NewMap()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for g := range groups {
		first, _ := nodes[0].Group(groupNamed(g))
		eventually(t, "the first node leads "+first.Name(), func() bool {
			for _, n := range nodes[1:] {
				if other, _ := n.Group(first.Name()); leads(other) {
					_, _ = other.HandOver(t.Context(), "n1")
				}
			}
			return leads(first)
		})
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	begun := time.Now()
	var stopping sync.WaitGroup
	stopping.Go(func() {
		if err := nodes[0].Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	for g := range groups {
		second, _ := nodes[1].Group(groupNamed(g))
		third, _ := nodes[2].Group(groupNamed(g))
		eventually(t, "another node leads "+second.Name(), func() bool { return leads(second) || leads(third) })
	}
	took := time.Since(begun)
	stopping.Wait()
	t.Logf("%d groups were handed over within %v; the node was stopped after %v", groups, took, time.Since(begun))
	if took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func groupNamed(g int) string { return fmt.Sprint("g", g) }
