package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
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
