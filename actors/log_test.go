package actors

import (
	"runtime"
	"testing"

	"github.com/troupe-raft/troupe/persistence"
)

// What the log has forgotten is garbage soon, also when large entries follow many small ones.
func TestForgottenEntriesAreFreed(t *testing.T) {
	const maxBytes, maxEntries = 4 << 20, 1000
	l := newLog(persistence.Recovered{})
	add := func(count, size int) {
		for range count {
			l.append(1, make([]byte, size))
			l.forget(l.last, maxBytes, maxEntries)
			if l.tailBytes > maxBytes || len(l.tail) > maxEntries || cap(l.tail) > 4*maxEntries {
				t.Fatalf("%d bytes in %d entries, with room for %d", l.tailBytes, len(l.tail), cap(l.tail))
			}
		}
	}
	before := heapBytes()
	add(100_000, 40)
	add(200, 1<<20)
	if after := heapBytes(); after > before+4*maxBytes {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if got := l.slice(l.tailFirst, l.last); len(got) != 4 || len(got[3]) != 1<<20 {
		t.Errorf("%d entries are left", len(got))
	}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
