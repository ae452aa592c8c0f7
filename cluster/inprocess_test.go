package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// TestThreeNodesInOneProcess embeds three nodes in three applications, stops the leader, and counts: every acknowledged write
// is there, and the replicas are equal.
func TestThreeNodesInOneProcess(t *testing.T) {
	if raceDetector {
		t.Skip("two remotes in one process race inside Proto.Actor; the tests with one process per node cover this")
	}
	if !alone(t) {
		return
	}
	specs := clusterSpecs(t, 3)
	members, err := cluster.ParseMembers(specs[0].Members)
	if err != nil {
		t.Fatal(err)
	}
	nodes, groups, maps := map[string]*cluster.Node{}, map[string]*cluster.Group{}, map[string]*kv.Map{}
	start := func(spec nodeSpec) {
		t.Helper()
		app := actor.NewActorSystem(actor.WithLoggerFactory(actorLogger(t)))
		t.Cleanup(app.Shutdown)
		spec.Config.Logger, spec.Config.Timing = testLogger(t), fastTiming()
		node, err := cluster.Start(t.Context(), spec.Config, cluster.WithActorSystem(app))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shutdown(t, node) })
		id := node.ID()
		nodes[id], maps[id] = node, kv.NewMap()
		if groups[id], err = node.StartGroup(t.Context(), "kv", members, maps[id]); err != nil {
			t.Fatal(err)
		}
	}
	for _, spec := range specs {
		start(spec)
	}
	leading := func() (leader *cluster.Group) {
		eventually(t, "somebody leads", func() bool {
			for id, g := range groups {
				if leads(g) && nodes[id] != nil {
					leader = g
					return true
				}
			}
			return false
		})
		return leader
	}

	const clients, writes = 16, 50
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			key, acknowledged := fmt.Sprint("client-", c), 0
			for w := range writes {
				for {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					_, err := kv.Open(leading()).Put(ctx, key, fmt.Append(nil, w))
					cancel()
					if err == nil {
						acknowledged++
						break
					}
					if !errors.Is(err, actors.ErrNotLeader) && !errors.Is(err, actors.ErrOutcomeUnknown) && !errors.Is(err, actors.ErrClosed) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()

	first := leading()
	for id, g := range groups {
		if g == first {
			shutdown(t, nodes[id])
			nodes[id] = nil
		}
	}
	second := leading()
	for c := range clients {
		value, version, found, err := kv.Open(second).Get(t.Context(), fmt.Sprint("client-", c))
		if err != nil || !found || string(value) != fmt.Sprint(writes-1) || version < writes {
			t.Fatalf("client %d: %q version %d %v %v", c, value, version, found, err)
		}
	}
	for _, spec := range specs {
		if nodes[spec.Config.ID] == nil {
			start(spec)
		}
	}
	last := leading().Status().CommitIndex
	for id, g := range groups {
		eventually(t, id+" has caught up", func() bool { return g.Status().AppliedIndex >= last })
	}
	for _, node := range nodes {
		shutdown(t, node) // the maps may be looked into only now
	}
	if maps["n1"].Hash() != maps["n2"].Hash() || maps["n2"].Hash() != maps["n3"].Hash() {
		t.Fatal("the replicas differ")
	}
}
