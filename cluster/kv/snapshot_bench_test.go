package kv

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// filled is a map of many small items, and batches of puts that write to each of them once.
func filled(keys int) (*Map, [][]actors.Entry) {
	const batch = 1000
	value := make([]byte, 128)
	var batches [][]actors.Entry
	m := NewMap()
	for first := 0; first < keys; first += batch {
		entries := make([]actors.Entry, min(batch, keys-first))
		for i := range entries {
			entries[i].Command = kvwire.Put(fmt.Sprintf("key-%d", (first+i)*7919%keys), value)
		}
		m.Apply(entries)
		batches = append(batches, entries)
	}
	return m, batches
}

// What puts cost while a view is open, and while the merge that it left behind goes on.
func BenchmarkApplyBesideView(b *testing.B) {
	for _, kind := range []string{"open", "merging"} {
		b.Run(kind, func(b *testing.B) {
			m, batches := filled(100_000)
			applyAll := func() {
				for _, entries := range batches {
					m.Apply(entries)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				view := frozen(b, m)
				if kind == "merging" {
					applyAll()
					closed(b, view)
				}
				b.StartTimer()
				applyAll()
				b.StopTimer()
				if kind == "open" {
					closed(b, view)
				}
				mergeAll(m)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100_000), "ns/command")
		})
	}
}

func mergeAll(m *Map) {
	for m.items.recent != nil {
		m.Apply(nil)
	}
}

func frozen(t testing.TB, m *Map) actors.View {
	t.Helper()
	view, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func closed(t testing.TB, view actors.View) {
	t.Helper()
	if err := view.Close(); err != nil {
		t.Fatal(err)
	}
}

const benchmarkedKeys = 1_500_000

func BenchmarkSnapshot(b *testing.B) {
	m, _ := filled(benchmarkedKeys)
	b.ReportAllocs()
	for b.Loop() {
		closed(b, frozen(b, m))
	}
}

func BenchmarkWriteTo(b *testing.B) {
	m, _ := filled(benchmarkedKeys)
	view := frozen(b, m)
	b.ReportAllocs()
	for b.Loop() {
		n, err := view.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchmarkedKeys), "ns/item")
}

func BenchmarkRestore(b *testing.B) {
	m, _ := filled(benchmarkedKeys)
	var state bytes.Buffer
	if _, err := frozen(b, m).WriteTo(&state); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(state.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Restore(bytes.NewReader(state.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchmarkedKeys), "ns/item")
}
