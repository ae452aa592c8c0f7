package persistence

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

func newGroup(t testing.TB) (*Store, GroupID) {
	t.Helper()
	s := mustOpen(t, vfs.NewMem())
	return s, mustGroup(t, s, "g")
}

func TestAppendAndRecover(t *testing.T) {
	s, g := newGroup(t)
	b := write(g, 1, 1, 3)
	b.HardState = HardState{Term: 2, Vote: "n2", Commit: 3, ClusterID: 9}
	b.PinnedPeers = map[string]uint64{"n2": 22, "n3": 33}
	mustWrite(t, s, b, write(g, 2, 4, 2))
	mustWrite(t, s, &Batch{Group: g, HardState: b.HardState})
	want := Recovered{
		HardState: b.HardState, Last: 5, Spans: []TermSpan{{1, 1}, {4, 2}}, Marks: []LogMark{{5, 35}}, PeerStores: b.PinnedPeers,
	}
	for range 2 {
		if found := mustRecover(t, s, g); !reflect.DeepEqual(found, want) {
			t.Errorf("recovered %+v, want %+v", found, want)
		}
	}
	if got := show(t, s, g); got != "1@1 2@1 3@1 4@2 5@2" {
		t.Error(got)
	}
}

// A batch that cuts the log, and truncates it at its other end, is one write: a crash finds all of it or nothing.
func TestACutAndATruncationAreOneWrite(t *testing.T) {
	s, g := newGroup(t)
	mustWrite(t, s, write(g, 1, 1, 8))
	b := write(g, 2, 6, 1)
	b.CutTo, b.CutTerm, b.HardState = 3, 1, HardState{Term: 2}
	before := s.number
	mustWrite(t, s, b)
	if s.number != before+1 {
		t.Errorf("it takes %d writes", s.number-before)
	}
	if found := mustRecover(t, s, g); found.Compacted != 3 || found.Last != 6 {
		t.Errorf("recovered %+v", found)
	}
}

func TestAppendOverAConflict(t *testing.T) {
	cases := map[string]struct {
		first uint64
		want  string
	}{
		"inside a block":    {3, "1@1 2@1 3@2"},
		"at a block":        {5, "1@1 2@1 3@1 4@1 5@2"},
		"at the last block": {9, "1@1 2@1 3@1 4@1 5@1 6@1 7@1 8@1 9@2"},
		"everything":        {1, "1@2"},
		"the last entry":    {12, "1@1 2@1 3@1 4@1 5@1 6@1 7@1 8@1 9@1 10@1 11@1 12@2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, g := newGroup(t)
			mustWrite(t, s, write(g, 1, 1, 4))
			mustWrite(t, s, write(g, 1, 5, 4), write(g, 1, 9, 4))
			mustWrite(t, s, write(g, 2, c.first, 1))
			if got := show(t, s, g); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// P-11: two versions of an index in one write: the newer wins, also when the block that straddles is in the same write.
func TestConflictsInOneWrite(t *testing.T) {
	s, g := newGroup(t)
	other := mustGroup(t, s, "other")
	mustWrite(t, s, write(g, 1, 1, 6),
		write(other, 1, 1, 2),
		write(g, 2, 4, 4), // over its own straddling block
		write(g, 2, 8, 1),
		write(other, 5, 2, 2),
		write(g, 3, 7, 1)) // over the head that was put back and more
	if got := show(t, s, g); got != "1@1 2@1 3@1 4@2 5@2 6@2 7@3" {
		t.Error(got)
	}
	if got := show(t, s, other); got != "1@1 2@5 3@5" {
		t.Error(got)
	}
}

func TestCut(t *testing.T) {
	s, g := newGroup(t)
	mustWrite(t, s, write(g, 1, 1, 4), write(g, 2, 5, 4))
	cut := func(to, term uint64) *Batch {
		return &Batch{Group: g, CutTo: to, CutTerm: term, HardState: HardState{Term: 9}, Sync: true}
	}
	mustWrite(t, s, cut(2, 1)) // inside a block
	if got := show(t, s, g); got != "3@1 4@1 5@2 6@2 7@2 8@2" {
		t.Error(got)
	}
	mustWrite(t, s, cut(1, 1)) // long done
	mustWrite(t, s, cut(4, 1), write(g, 9, 5, 1))
	if got := show(t, s, g); got != "5@9" {
		t.Error(got)
	}
	mustWrite(t, s, cut(5, 9))
	found := mustRecover(t, s, g)
	if found.Compacted != 5 || found.CompactedTerm != 9 || found.Last != 5 || len(found.Spans) != 0 {
		t.Errorf("%+v", found)
	}
	mustWrite(t, s, write(g, 9, 6, 2))
	mustWrite(t, s, cut(100, 9)) // beyond the end, as a snapshot does
	b := write(g, 9, 121, 1)
	b.CutTo, b.CutTerm = 120, 9
	mustWrite(t, s, b)
	if got := show(t, s, g); got != "121@9" {
		t.Error(got)
	}
	if prev, _, err := s.Read(g, 121, 122, 1); prev != 9 || err != nil {
		t.Error(prev, err)
	}
}

// A conflict at the first entry after a cut inside a block must not put the block's head back.
func TestConflictRightAfterACut(t *testing.T) {
	for _, together := range []bool{false, true} {
		s, g := newGroup(t)
		mustWrite(t, s, write(g, 1, 1, 6))
		over := write(g, 2, 4, 1)
		over.CutTo, over.CutTerm = 3, 1
		if !together {
			mustWrite(t, s, &Batch{Group: g, CutTo: 3, CutTerm: 1, HardState: HardState{Term: 1}})
			over.CutTo = 0
		}
		mustWrite(t, s, over)
		if got := show(t, s, g); got != "4@2" {
			t.Error(got)
		}
	}
}

func TestLargeEntriesAreSplitIntoBlocks(t *testing.T) {
	s, g := newGroup(t)
	big := strings.Repeat("x", maxBlock+1)
	small := strings.Repeat("y", 100<<10)
	entries := []messages.EncodedEntry{entry(1, small), entry(1, small), entry(1, small), entry(1, big), entry(1, ""), entry(1, small)}
	mustWrite(t, s, &Batch{Group: g, First: 1, Entries: entries, HardState: HardState{Term: 1}, Sync: true})
	iter, err := s.iter(logKey(g, 0), logEnd(g))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = iter.Close() }()
	var lasts []uint64
	for valid := iter.First(); valid; valid = iter.Next() {
		b, err := openBlock(iter.Key(), iter.Value())
		if err != nil {
			t.Fatal(err)
		}
		lasts = append(lasts, b.last)
		if len(iter.Value()) > maxBlock && b.count > 1 {
			t.Errorf("a block of %d entries has %d bytes", b.count, len(iter.Value()))
		}
	}
	if !reflect.DeepEqual(lasts, []uint64{2, 3, 4, 6}) {
		t.Errorf("blocks end at %v", lasts)
	}
	_, got, err := s.Read(g, 1, 7, 1<<30)
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Errorf("read %d entries, %v", len(got), err)
	}
}

// A write larger than the memtable is written in several parts, and each batch stays whole.
func TestWriteLargerThanTheMemtable(t *testing.T) {
	s, g := newGroup(t)
	var batches []*Batch
	first := uint64(1)
	for range 200 {
		batches = append(batches, write(g, 1, first, 300))
		first += 300
	}
	mustWrite(t, s, batches...)
	if found := mustRecover(t, s, g); found.Last != first-1 {
		t.Errorf("last index %d", found.Last)
	}
}

func TestRead(t *testing.T) {
	s, g := newGroup(t)
	mustWrite(t, s, write(g, 1, 1, 5), write(g, 2, 6, 5), write(g, 3, 11, 5))
	mustWrite(t, s, &Batch{Group: g, CutTo: 3, CutTerm: 1, HardState: HardState{Term: 3}})
	size := len(entry(2, "6@2"))
	cases := []struct {
		lo, hi uint64
		bytes  int
		prev   uint64
		want   string
		err    error
	}{
		{lo: 4, hi: 7, bytes: 1 << 20, prev: 1, want: "4@1 5@1 6@2"},
		{lo: 6, hi: 7, bytes: 1 << 20, prev: 1, want: "6@2"},
		{lo: 7, hi: 12, bytes: 1 << 20, prev: 2, want: "7@2 8@2 9@2 10@2 11@3"},
		{lo: 7, hi: 12, bytes: 3 * size, prev: 2, want: "7@2 8@2 9@2"},
		{lo: 7, hi: 12, bytes: 3*size + 1, prev: 2, want: "7@2 8@2 9@2"},
		{lo: 5, hi: 12, bytes: size, prev: 1, want: "5@1"},
		{lo: 5, hi: 12, bytes: 0, prev: 1, want: "5@1"},
		{lo: 15, hi: 99, bytes: 1 << 20, prev: 3, want: "15@3"},
		{lo: 11, hi: 11, bytes: 1 << 20, prev: 2},
		{lo: 16, hi: 16, bytes: 1 << 20, prev: 3},
		{lo: 4, hi: 4, bytes: 1 << 20, prev: 1},
		{lo: 16, hi: 17, bytes: 1 << 20, err: ErrMissing},
		{lo: 17, hi: 17, bytes: 1 << 20, err: ErrMissing},
		{lo: 99, hi: 100, bytes: 1 << 20, err: ErrMissing},
		{lo: 3, hi: 5, bytes: 1 << 20, err: ErrCompacted},
		{lo: 0, hi: 5, bytes: 1 << 20, err: ErrCompacted},
	}
	for _, c := range cases {
		prev, entries, err := s.Read(g, c.lo, c.hi, c.bytes)
		if c.err != nil {
			wantError(t, err, c.err)
			continue
		}
		if err != nil || prev != c.prev || data(t, entries) != c.want {
			t.Errorf("Read(%d, %d, %d) = %d, %q, %v, want %d, %q", c.lo, c.hi, c.bytes, prev, data(t, entries), err, c.prev, c.want)
		}
	}
}

func TestReadAnEmptyLog(t *testing.T) {
	s, g := newGroup(t)
	if prev, entries, err := s.Read(g, 1, 1, 1); prev != 0 || entries != nil || err != nil {
		t.Error(prev, entries, err)
	}
	_, _, err := s.Read(g, 1, 2, 1)
	wantError(t, err, ErrMissing)
}

// Reads see entries and the term before them from one view while the log is rewritten under them.
func TestReadBesideWrites(t *testing.T) {
	s, g := newGroup(t)
	mustWrite(t, s, write(g, 1, 1, 10))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			prev, entries, err := s.Read(g, 5, 9, 1<<20)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				view, err := messages.DecodeEntry(e)
				if err != nil || view.Term != prev || len(entries) != 4 {
					t.Errorf("%d entries, of term %d after term %d, %v", len(entries), view.Term, prev, err)
					return
				}
			}
		}
	}()
	for term := uint64(2); term < 60; term++ {
		mustWrite(t, s, write(g, term, 2, 9))
	}
	close(stop)
	<-done
}

func TestWriteRefusesWhatDoesNotFit(t *testing.T) {
	cases := map[string]struct {
		batch func(g GroupID) *Batch
		says  string
	}{
		"a gap":         {func(g GroupID) *Batch { return write(g, 2, 7, 1) }, "the log ends at 5"},
		"no index":      {func(g GroupID) *Batch { return write(g, 2, 0, 1) }, "the log was cut up to 2"},
		"compacted":     {func(g GroupID) *Batch { return write(g, 2, 2, 1) }, "the log was cut up to 2"},
		"unknown group": {func(GroupID) *Batch { return write(9, 2, 6, 1) }, "there is no group with number 9"},
		"commit ahead": {func(g GroupID) *Batch {
			return &Batch{Group: g, HardState: HardState{Term: 2, Commit: 6}}
		}, "its commit index 6 is beyond the last entry 5"},
		"term behind": {func(g GroupID) *Batch {
			b := write(g, 2, 6, 1)
			b.HardState.Term = 1
			return b
		}, "its last entry is of term 2, and its hard state of term 1"},
		"garbage": {func(g GroupID) *Batch {
			return &Batch{Group: g, First: 6, Entries: []messages.EncodedEntry{{0xff}}}
		}, "its last entry cannot be decoded"},
		"cut above entries": {func(g GroupID) *Batch {
			b := write(g, 2, 6, 1)
			b.CutTo, b.CutTerm = 6, 2
			return b
		}, "the log was cut up to 6"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var told error
			fs := vfs.NewMem()
			o := memOptions(fs)
			o.OnFailure = func(err error) { told = err }
			s := mustOpenWith(t, o)
			g := mustGroup(t, s, "g")
			mustWrite(t, s, write(g, 1, 1, 5))
			mustWrite(t, s, &Batch{Group: g, CutTo: 2, CutTerm: 1, HardState: HardState{Term: 1}, Sync: true})
			err := s.Write([]*Batch{c.batch(g)})
			wantError(t, err, ErrFailed, c.says)
			wantError(t, told, ErrFailed, c.says)
			wantError(t, s.Write([]*Batch{write(g, 2, 6, 1)}), ErrFailed, c.says)
			wantError(t, s.Failed(), ErrFailed)
			wantError(t, s.Close(), ErrFailed)
			// Nothing of it was stored, and the directory can be opened again.
			s = mustOpen(t, fs)
			if got := show(t, s, g); got != "3@1 4@1 5@1" {
				t.Error(got)
			}
		})
	}
}

func TestPinnedPeersAreReplaced(t *testing.T) {
	s, g := newGroup(t)
	mustWrite(t, s, &Batch{Group: g, PinnedPeers: map[string]uint64{"n2": 1, "n3": 2}})
	mustWrite(t, s, &Batch{Group: g, PinnedPeers: map[string]uint64{"n2": 3}})
	if got := mustRecover(t, s, g).PeerStores; !maps.Equal(got, map[string]uint64{"n2": 3, "n3": 2}) {
		t.Error(got)
	}
}

func TestWriteOfNothing(t *testing.T) {
	s, _ := newGroup(t)
	before := s.number
	mustWrite(t, s)
	if s.number != before {
		t.Error("an empty write was written")
	}
}
