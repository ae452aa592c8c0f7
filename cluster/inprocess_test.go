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

// embedded are nodes, by id, each in an application of its own.
type embedded struct {
	t       *testing.T
	members []actors.Member
	nodes   map[string]*cluster.Node // nil: stopped
	groups  map[string]*cluster.Group
	maps    map[string]*kv.Map
}

func (e *embedded) start(spec nodeSpec) {
	e.t.Helper()
	app := actor.NewActorSystem(actor.WithLoggerFactory(actorLogger(e.t)))
	e.t.Cleanup(app.Shutdown)
	spec.Config.Logger, spec.Config.Timing = testLogger(e.t), fastTiming()
	node, err := cluster.Start(e.t.Context(), spec.Config, cluster.WithActorSystem(app))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { shutdown(e.t, node) })
	id := node.ID()
	e.nodes[id], e.maps[id] = node, kv.NewMap()
	if e.groups[id], err = node.StartGroup(e.t.Context(), "kv", e.members, e.maps[id]); err != nil {
		e.t.Fatal(err)
	}
}

func (e *embedded) leading() (leader *cluster.Group) {
	eventually(e.t, "somebody leads", func() bool {
		for id, g := range e.groups {
			if leads(g) && e.nodes[id] != nil {
				leader = g
				return true
			}
		}
		return false
	})
	return leader
}

// put writes until the write is acknowledged.
func (e *embedded) put(key string, value []byte) error {
	for {
		ctx, cancel := context.WithTimeout(e.t.Context(), 2*time.Second)
		_, err := kv.Open(e.leading()).Put(ctx, key, value)
		cancel()
		again := errors.Is(err, actors.ErrNotLeader) || errors.Is(err, actors.ErrOutcomeUnknown) || errors.Is(err, actors.ErrClosed)
		if !again {
			return err
		}
	}
}

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
	e := &embedded{t, members, map[string]*cluster.Node{}, map[string]*cluster.Group{}, map[string]*kv.Map{}}
	for _, spec := range specs {
		e.start(spec)
	}

	const clients, writes = 16, 50
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for w := range writes {
				if err := e.put(fmt.Sprint("client-", c), fmt.Append(nil, w)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()

	first := e.leading()
	for id, g := range e.groups {
		if g == first {
			shutdown(t, e.nodes[id])
			e.nodes[id] = nil
		}
	}
	second := e.leading()
	for c := range clients {
		value, version, found, err := kv.Open(second).Get(t.Context(), fmt.Sprint("client-", c))
		if err != nil || !found || string(value) != fmt.Sprint(writes-1) || version < writes {
			t.Fatalf("client %d: %q version %d %v %v", c, value, version, found, err)
		}
	}
	for _, spec := range specs {
		if e.nodes[spec.Config.ID] == nil {
			e.start(spec)
		}
	}
	last := e.leading().Status().CommitIndex
	for id, g := range e.groups {
		eventually(t, id+" has caught up", func() bool { return g.Status().AppliedIndex >= last })
	}
	for _, node := range e.nodes {
		shutdown(t, node) // the maps may be looked into only now
	}
	if e.maps["n1"].Hash() != e.maps["n2"].Hash() || e.maps["n2"].Hash() != e.maps["n3"].Hash() {
		t.Fatal("the replicas differ")
	}
}
