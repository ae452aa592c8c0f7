package cluster_test

import (
	"context"
	"errors"
	"fmt"
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
	_, group := single(t, t.TempDir(), concurrentEcho{})
	eventually(t, "the node leads", func() bool { return leads(group) })
	if answer, err := group.ReadStale(t.Context(), []byte("q")); err != nil || string(answer) != "q" {
		t.Fatalf("%q, %v", answer, err)
	}
	if _, err := group.ReadStale(t.Context(), []byte("panic")); !errors.Is(err, actors.ErrGroupFailed) {
		t.Fatal(err)
	}
	eventually(t, "the group says that it failed", func() bool { return group.Status().Role == actors.Failed })
	if _, err := group.ReadStale(t.Context(), []byte("q")); !errors.Is(err, actors.ErrGroupFailed) {
		t.Fatal(err)
	}
}

var byLease = cluster.ReadOptions{Read: actors.Read{Consistency: actors.Lease}}

// Callers read on their own goroutines while others write, and while snapshots are taken: each sees what was answered before.
func TestReadsByLeaseBesideWrites(t *testing.T) {
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
				value, version, _, err := m.GetAs(t.Context(), byLease, key)
				if err != nil || version != n+1 || string(value) != fmt.Sprint(n) {
					t.Errorf("after the write of %d: %q, version %d, %v", n, value, version, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkReadByLease(b *testing.B) {
	_, group := single(b, b.TempDir(), kv.NewMap())
	eventually(b, "the node leads", func() bool { return leads(group) })
	m := kv.Open(group)
	if _, err := m.Put(b.Context(), "k", make([]byte, 128)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, _, _, err := m.GetAs(b.Context(), byLease, "k"); err != nil {
				b.Error(err)
			}
		}
	})
}
