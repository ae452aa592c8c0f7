package persistence

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Marks say what the entries have, are not further apart than they should be, and never count too much.
func TestMarksAgainstSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		granule := rapid.IntRange(1, 100).Draw(t, "granule")
		m := newMarks(granule)
		var sizes []int // of the entries (begin, last]
		begin := uint64(0)
		last := func() uint64 { return begin + uint64(len(sizes)) }
		counted := true // nothing was forgotten by a truncation
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "entries") {
					sizes = append(sizes, rapid.IntRange(0, 50).Draw(t, "size"))
					m.add(last(), sizes[len(sizes)-1])
				}
			},
			"truncate": func(t *rapid.T) {
				from := rapid.Uint64Range(begin+1, last()+1).Draw(t, "from")
				sizes = slices.Clip(sizes[:from-1-begin])
				m.truncate(from)
				counted = false
			},
			"cut": func(t *rapid.T) {
				to := rapid.Uint64Range(begin, last()+3).Draw(t, "to")
				n := min(int(to-begin), len(sizes))
				all := sum(sizes[:n])
				if bytes := m.cut(to); bytes < 0 || counted && m.begin.Last == to && bytes > int64(all)+int64(granule) {
					t.Fatalf("cut of %d bytes gave %d", all, bytes)
				}
				sizes, begin = sizes[n:], max(to, begin)
			},
			"check": func(t *rapid.T) {
				sorted := slices.IsSortedFunc(m.list, func(a, b LogMark) int { return int(a.Last) - int(b.Last) })
				if m.end.Bytes < m.begin.Bytes || !sorted {
					t.Fatalf("%+v", m)
				}
			},
		})
	})
}

func sum(sizes []int) (all int) {
	for _, n := range sizes {
		all += n
	}
	return all
}

// What Recover says of a log's bytes is exact at each mark, and there is one at least each granule.
func TestRecoveredMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		granule := rapid.IntRange(1, 100).Draw(t, "granule")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 60).Draw(t, "sizes")
		m := newMarks(granule)
		m.begin.Last, m.end.Last = 9, 9
		for i, n := range sizes {
			m.add(uint64(10+i), n)
		}
		before := LogMark{Last: 9}
		for _, mark := range m.all() {
			if want := sum(sizes[:mark.Last-9]); int64(want) != mark.Bytes {
				t.Fatalf("the mark at %d says %d bytes, not %d", mark.Last, mark.Bytes, want)
			}
			if mark.Last <= before.Last || mark.Bytes-before.Bytes > int64(granule) && mark.Last > before.Last+1 {
				t.Fatalf("the mark %+v after %+v", mark, before)
			}
			before = mark
		}
		if before.Last != 9+uint64(len(sizes)) {
			t.Fatalf("the last mark is at %d", before.Last)
		}
	})
}
