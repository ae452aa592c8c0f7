package actors

import (
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/persistence"
)

// What the log has forgotten is garbage soon, also when large entries follow many small ones.
func TestForgottenEntriesAreFreed(t *testing.T) {
	const maxBytes, maxEntries = 4 << 20, 1000
	l := newLog(persistence.Recovered{}, 1)
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

// A follower with a cut log answers as one with the whole log does, and keeps the same entries. Only its hints end at the cut.
func TestACutLogAnswersAsAWholeOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leader, other := drawLogs(t, 8)
		common := 0
		for common < min(len(leader), len(other)) && leader[common] == other[common] {
			common++
		}
		commit := rapid.IntRange(0, common).Draw(t, "commit")
		cut := rapid.IntRange(0, commit).Draw(t, "cut")
		whole, rest := stateWith(other, 9), stateWith(other, 9)
		whole.commitIndex, rest.commitIndex = uint64(commit), uint64(commit)
		rest.log = cutLog(other, cut)
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			prev := rapid.IntRange(0, len(leader)).Draw(t, "prev")
			n := rapid.IntRange(0, len(leader)-prev).Draw(t, "entries")
			m := appendOf(leader, prev, n, 9, uint64(rapid.IntRange(commit, max(commit, common)).Draw(t, "leader commit")))
			want, wantVerified, err := whole.appendEntries(m)
			got, verified, gotErr := rest.appendEntries(m)
			if (err == nil) != (gotErr == nil) || verified != wantVerified {
				t.Fatalf("%v: verified %d (%v), not %d (%v)", m, verified, gotErr, wantVerified, err)
			}
			if err == nil && (got.Success != want.Success || got.MatchIndex != want.MatchIndex ||
				got.ConflictIndex != max(want.ConflictIndex, got.ConflictIndex)) {
				t.Fatalf("%v: %v, not %v", m, got, want)
			}
			if rest.log.last != whole.log.last || rest.commitIndex != whole.commitIndex {
				t.Fatalf("%v: the log ends at %d and %d is committed, not %d and %d",
					m, rest.log.last, rest.commitIndex, whole.log.last, whole.commitIndex)
			}
			for i := uint64(cut); i <= whole.log.last && i > 0; i++ {
				if rest.log.term(i) != whole.log.term(i) {
					t.Fatalf("%v: entry %d is of term %d, not %d", m, i, rest.log.term(i), whole.log.term(i))
				}
			}
		}
	})
}

// cutLog is a log with these terms, as it is recovered when it was cut up to an index.
func cutLog(terms []uint64, cut int) raftLog {
	r := persistence.Recovered{Compacted: uint64(cut), Last: uint64(len(terms))}
	if cut > 0 {
		r.CompactedTerm = terms[cut-1]
	}
	for i := cut; i < len(terms); i++ {
		if len(r.Spans) == 0 || r.Spans[len(r.Spans)-1].Term != terms[i] {
			r.Spans = append(r.Spans, persistence.TermSpan{First: uint64(i) + 1, Term: terms[i]})
		}
	}
	return newLog(r, 1)
}

// Every question that a server has for its log, at every cut of every log.
func TestACutLogKnowsItsTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms, _ := drawLogs(t, 8)
		cut := rapid.IntRange(0, len(terms)).Draw(t, "cut")
		whole, rest := cutLog(terms, 0), cutLog(terms, cut)
		if rest.lastTerm() != whole.lastTerm() || rest.last != whole.last {
			t.Fatalf("it ends at %d@%d", rest.last, rest.lastTerm())
		}
		for index := uint64(0); index <= whole.last+1; index++ {
			for term := uint64(0); term < 9; term++ {
				if got, want := rest.holds(index, term), whole.holds(index, term) && index >= uint64(cut); got != want {
					t.Fatalf("holds %d@%d: %v", index, term, got)
				}
				if got, want := rest.lastAtMost(index, term), max(whole.lastAtMost(index, term), uint64(cut)); got != want {
					t.Fatalf("the last at most %d@%d is %d, not %d", index, term, got, want)
				}
			}
		}
	})
}
