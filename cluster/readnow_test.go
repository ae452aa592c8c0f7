package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// concurrentEcho panics in a query when it is asked to.
type concurrentEcho struct{ echo }

func (concurrentEcho) ConcurrentQuery() bool { return true }

func (e concurrentEcho) Query(ctx context.Context, query []byte) ([]byte, error) {
	if string(query) == "panic" {
		panic("as asked")
	}
	return e.echo.Query(ctx, query)
}

// The caller's goroutine is the one that panics: its process goes on, and the group fails as it does when its actor panics.
func TestAQueryThatPanicsAtItsCallerStopsItsGroup(t *testing.T) {
	if !alone(t) {
		return
	}
	for name, read := range map[string]func(*cluster.Group, context.Context, []byte) ([]byte, error){
		"stale": (*cluster.Group).ReadStale, "linearizable": (*cluster.Group).Read,
	} {
		t.Run(name, func(t *testing.T) {
			_, group := single(t, t.TempDir(), concurrentEcho{})
			eventually(t, "the node leads", func() bool { return leads(group) })
			if answer, err := read(group, t.Context(), []byte("q")); err != nil || string(answer) != "q" {
				t.Fatalf("%q, %v", answer, err)
			}
			if _, err := read(group, t.Context(), []byte("panic")); !errors.Is(err, actors.ErrGroupFailed) {
				t.Fatal(err)
			}
			eventually(t, "the group says that it failed", func() bool { return group.Status().Role == actors.Failed })
			if _, err := read(group, t.Context(), []byte("q")); !errors.Is(err, actors.ErrGroupFailed) {
				t.Fatal(err)
			}
		})
	}
}

// A call may find, when it was told to look, that it cannot: then the actor answers it.
func TestWhoCannotLookAsksTheActor(t *testing.T) {
	if !alone(t) {
		return
	}
	for name, machine := range map[string]actors.StateMachine{"not yet applied": concurrentEcho{}, "never beside": echo{}} {
		t.Run(name, func(t *testing.T) {
			_, group := single(t, t.TempDir(), machine)
			eventually(t, "the node leads", func() bool { return leads(group) })
			if answer, err := group.Look(t.Context(), math.MaxUint64, []byte("q")); err != nil || string(answer) != "q" {
				t.Fatalf("%q, %v", answer, err)
			}
		})
	}
}

// announcing says when it applies a command for a long time.
type announcing struct {
	concurrentEcho
	began chan struct{}
}

func (a announcing) Apply(entries []actors.Entry) []actors.Result {
	if string(entries[0].Command) == "slow" {
		close(a.began)
	}
	return a.concurrentEcho.Apply(entries)
}

// A goroutine that serves others too, such as the group's actor, or who reads a client's stream, does not wait for a slow Apply when it
// brings a read.
func TestASlowApplyDoesNotHoldUpWhoServesOthers(t *testing.T) {
	if !alone(t) {
		return
	}
	app, release, began := newApp(t), make(chan struct{}), make(chan struct{})
	_, group := single(t, t.TempDir(), announcing{concurrentEcho{echo{release}}, began}, cluster.WithActorSystem(app))
	eventually(t, "the node leads", func() bool { return leads(group) })
	if _, err := group.Query(t.Context(), byLease, []byte("q")); err != nil { // now leases are asked for
		t.Fatal(err)
	}
	slow := app.Root.RequestFuture(group.PID(), &client.Submit{Command: []byte("slow")}, 20*time.Second)
	<-began
	var reads []actor.Future
	for _, how := range []actors.Consistency{actors.Stale, actors.Lease} {
		q := &client.Query{Read: client.Read{Consistency: how}, Query: []byte("q")}
		reads = append(reads, app.Root.RequestFuture(group.PID(), q, 20*time.Second))
	}
	if r := asked(t, app, group, "no such mail"); r.Err == nil || !strings.Contains(r.Err.Error(), "not string") {
		t.Error(r)
	}
	close(release)
	for _, f := range append(reads, slow) {
		if r, err := f.Result(); err != nil || r.(*client.Reply).Err != nil {
			t.Error(r, err)
		}
	}
}

var byLease = cluster.ReadOptions{Read: actors.Read{Consistency: actors.Lease}}

// Callers read on their own goroutines while others write, and while snapshots are taken: each sees what was answered before.
func TestReadsBesideWrites(t *testing.T) {
	if !alone(t) {
		return
	}
	_, group := single(t, t.TempDir(), kv.NewMap())
	eventually(t, "the node leads", func() bool { return leads(group) })
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() {
			m, key := kv.Open(group), fmt.Sprint(c)
			for n := range uint64(200) {
				if _, err := m.Put(t.Context(), key, fmt.Append(nil, n)); err != nil {
					t.Error(err)
					return
				}
				if n%50 == 0 {
					if snapshot, err := group.Snapshot(t.Context(), true); err != nil {
						t.Error(err)
					} else {
						_ = snapshot.Close()
					}
				}
				how := byLease
				if n%2 == 0 {
					how = cluster.ReadOptions{}
				}
				value, version, _, err := m.GetAs(t.Context(), how, key)
				if err != nil || version != n+1 || string(value) != fmt.Sprint(n) {
					t.Errorf("after the write of %d: %q, version %d, %v", n, value, version, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkReadByLease(b *testing.B) { benchmarkReads(b, byLease, 1) }

// Readers share rounds: there are many of them.
func BenchmarkReadByRound(b *testing.B) { benchmarkReads(b, cluster.ReadOptions{}, 32) }

func benchmarkReads(b *testing.B, how cluster.ReadOptions, readers int) {
	_, group := single(b, b.TempDir(), kv.NewMap())
	eventually(b, "the node leads", func() bool { return leads(group) })
	m := kv.Open(group)
	if _, err := m.Put(b.Context(), "k", make([]byte, 128)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(readers)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, _, _, err := m.GetAs(b.Context(), how, "k"); err != nil {
				b.Error(err)
			}
		}
	})
}
