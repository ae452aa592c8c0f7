package persistence

import (
	"fmt"
	"sync"
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// BenchmarkWrite writes batches of 128-byte entries, synced, into one store or into three at a time.
func BenchmarkWrite(b *testing.B) {
	for _, stores := range []int{1, 3} {
		for _, size := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("stores=%d/entries=%d", stores, size), func(b *testing.B) { benchmarkWrite(b, stores, size, nil) })
		}
	}
}

// BenchmarkWriteWithoutSide shows what the side file costs.
func BenchmarkWriteWithoutSide(b *testing.B) {
	benchmarkWrite(b, 1, 1, func(s *Store) { s.side = nil })
}

func benchmarkWrite(b *testing.B, stores, size int, change func(*Store)) {
	entry := messages.EncodeEntry(1, messages.Entry_KIND_COMMAND, make([]byte, 128))
	entries := make([]messages.EncodedEntry, size)
	for i := range entries {
		entries[i] = entry
	}
	opened := make([]*Store, stores)
	groups := make([]GroupID, stores)
	for i := range opened {
		s, err := Open(b.TempDir(), Options{NodeID: "n1"})
		if err != nil {
			b.Fatal(err)
		}
		record, err := s.Group("g", nil)
		if err != nil {
			b.Fatal(err)
		}
		side := s.side
		if change != nil {
			change(s)
		}
		opened[i], groups[i] = s, GroupID(record.Number)
		b.Cleanup(func() {
			s.side = side
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, s := range opened {
		wg.Go(func() {
			batch := &Batch{Group: groups[i], First: 1, Entries: entries, Sync: true}
			for range b.N {
				batch.HardState = HardState{Term: 1, Vote: "n1", Commit: batch.First - 1}
				// Keep the log at 100,000 entries, cut now and then.
				if batch.CutTo = 0; batch.First%(50_000/uint64(size)*uint64(size)) == 1 && batch.First > 100_000 {
					batch.CutTo, batch.CutTerm = batch.First-100_000, 1
				}
				if err := s.Write([]*Batch{batch}); err != nil {
					b.Error(err)
					return
				}
				batch.First += uint64(size)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*size*stores)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkRecover(b *testing.B) {
	s, err := Open(b.TempDir(), Options{NodeID: "n1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	record, err := s.Group("g", nil)
	if err != nil {
		b.Fatal(err)
	}
	group := GroupID(record.Number)
	entries := make([]messages.EncodedEntry, 100)
	for i := range entries {
		entries[i] = messages.EncodeEntry(1, messages.Entry_KIND_COMMAND, make([]byte, 128))
	}
	const total = 1_000_000
	for first := uint64(1); first < total; first += 100 {
		if err := s.Write([]*Batch{{Group: group, First: first, Entries: entries, HardState: HardState{Term: 1}}}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		found, err := s.Recover(group)
		if err != nil || found.Last != total {
			b.Fatal(found.Last, err)
		}
	}
	b.ReportMetric(total*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
