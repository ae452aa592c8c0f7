package persistence

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

// keysOf are the last indexes of the blocks that are stored of the group.
func keysOf(t testing.TB, s *Store, group GroupID) (lasts []uint64) {
	t.Helper()
	iter, err := s.iter(logKey(group, 0), logEnd(group))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = iter.Close() }()
	for valid := iter.First(); valid; valid = iter.Next() {
		b, err := openBlock(iter.Key(), iter.Value())
		if err != nil {
			t.Fatal(err)
		}
		lasts = append(lasts, b.last)
	}
	return lasts
}

func expectKeys(t testing.TB, s *Store, group GroupID, want ...uint64) {
	t.Helper()
	got := keysOf(t, s, group)
	if len(got) != len(want) {
		t.Fatalf("there are blocks that end at %v, not %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("there are blocks that end at %v, not %v", got, want)
		}
	}
}

// cuttable is a store whose cuts wait for Reclaim from 30 bytes on, with a log of three blocks of 28 bytes each: 4, 8 and 12, and more.
func cuttable(t testing.TB, mem *vfs.MemFS) (*Store, GroupID) {
	t.Helper()
	o := memOptions(mem)
	o.ExciseBytes, o.LogGranule = 30, 1
	s := mustOpenWith(t, o)
	g := mustGroup(t, s, "g")
	if mustRecover(t, s, g).Last == 0 {
		mustWrite(t, s, write(g, 1, 1, 4), write(g, 1, 5, 4), write(g, 2, 9, 4))
	}
	return s, g
}

func TestALargeCutIsReclaimed(t *testing.T) {
	mem := vfs.NewMem()
	s, g := cuttable(t, mem)
	mustWrite(t, s, point(g, mustTake(t, s, g, 10, 2), HardState{Term: 2, Commit: 10}))
	expectKeys(t, s, g, 4, 8, 12)
	if got := show(t, s, g); got != "11@2 12@2" || !s.Reclaimable() {
		t.Fatalf("%q, reclaimable %v", got, s.Reclaimable())
	}
	_, _, err := s.Read(g, 10, 11, 1)
	wantError(t, err, ErrCompacted)
	mustClose(t, s)

	s, _ = cuttable(t, mem) // what was left is found again
	if !s.Reclaimable() {
		t.Error("what is left below a cut is not found")
	}
	for range 2 {
		if err := s.Reclaim(); err != nil {
			t.Fatal(err)
		}
		if s.Reclaimable() {
			t.Error("still reclaimable")
		}
		expectKeys(t, s, g, 12) // it straddles the cut
		if got := show(t, s, g); got != "11@2 12@2" {
			t.Error(got)
		}
	}
	mustWrite(t, s, write(g, 3, 12, 2))
	mustClose(t, s)
	s, _ = cuttable(t, mem)
	if got := show(t, s, g); got != "11@2 12@3 13@3" || s.Reclaimable() {
		t.Errorf("%q, reclaimable %v", got, s.Reclaimable())
	}
	mustClose(t, s)
}

// A cut of all that there is, and beyond, leaves nothing that counts.
func TestALargeCutBeyondTheEnd(t *testing.T) {
	mem := vfs.NewMem()
	s, g := cuttable(t, mem)
	mustWrite(t, s, point(g, mustTake(t, s, g, 50, 3), HardState{Term: 3, Commit: 50}))
	mustClose(t, s)
	s, _ = cuttable(t, mem)
	found := mustRecover(t, s, g)
	if found.Last != 50 || len(found.Spans) != 0 || len(found.Marks) != 0 {
		t.Errorf("%+v", found)
	}
	mustWrite(t, s, write(g, 3, 51, 1))
	if got := show(t, s, g); got != "51@3" {
		t.Error(got)
	}
	if err := s.Reclaim(); err != nil {
		t.Fatal(err)
	}
	expectKeys(t, s, g, 51)
	mustClose(t, s)
}

// A small cut deletes at once, and so does any cut in a directory that an older troupe can open: to that one, what is left is damage.
func TestWhatIsCutAtOnce(t *testing.T) {
	s, g := cuttable(t, vfs.NewMem())
	mustWrite(t, s, &Batch{Group: g, CutTo: 8, CutTerm: 1, HardState: HardState{Term: 2}, Sync: true})
	expectKeys(t, s, g, 12)
	mustClose(t, s)

	s, g = cuttable(t, vfs.NewMem())
	mustWrite(t, s, point(g, mustTake(t, s, g, 4, 1), HardState{Term: 2, Commit: 4}))
	expectKeys(t, s, g, 8, 12)
	if s.Reclaimable() {
		t.Error("reclaimable")
	}
	mustClose(t, s)
}

// Reset drops what a snapshot takes the place of, also above it, and what was left below an earlier cut.
func TestReset(t *testing.T) {
	for name, to := range map[string]uint64{"inside": 10, "at the end": 12, "beyond": 20} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			s, g := cuttable(t, mem)
			mustWrite(t, s, point(g, mustTake(t, s, g, 9, 2), HardState{Term: 2, Commit: 9}))
			b := point(g, mustTake(t, s, g, to, 5), HardState{Term: 6, Commit: to})
			b.Reset = true
			mustWrite(t, s, b)
			expectKeys(t, s, g)
			if found := mustRecover(t, s, g); found.Compacted != to || found.CompactedTerm != 5 || found.Last != to || s.Reclaimable() {
				t.Errorf("%+v", found)
			}
			mustWrite(t, s, write(g, 6, to+1, 2))
			mustClose(t, s)
			s, _ = cuttable(t, mem)
			if found := mustRecover(t, s, g); found.Last != to+2 {
				t.Errorf("%+v", found)
			}
			mustClose(t, s)
		})
	}
}

// The record of a cut is durable before what it excuses is gone, also when its batch did not ask for that.
func TestReclaimMakesTheCutDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s, g := cuttable(t, mem)
	if err := s.db.Flush(); err != nil { // else the excise would sync the log of the memtable that it overlaps
		t.Fatal(err)
	}
	b := point(g, mustTake(t, s, g, 8, 1), HardState{Term: 2, Commit: 8})
	b.Sync = false
	mustWrite(t, s, b)
	if err := s.Reclaim(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, crash(mem))
	if got := show(t, s, g); got != "9@2 10@2 11@2 12@2" {
		t.Error(got)
	}
	expectKeys(t, s, g, 12)
	mustClose(t, s)
}

// heldFlush is a file system on which flushes wait.
type heldFlush struct {
	vfs.FS
	begun, release chan struct{}
}

func (h *heldFlush) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == flushCategory {
		h.begun <- struct{}{}
		<-h.release
	}
	return h.FS.Create(name, category)
}

// An excise cancels a flush that is under way. That is no failure: the flush begins again.
func TestReclaimBesideAFlush(t *testing.T) {
	h := &heldFlush{vfs.NewMem(), make(chan struct{}, 100), make(chan struct{})}
	o := memOptions(h)
	o.ExciseBytes, o.LogGranule = 1, 1
	s := mustOpenWith(t, o)
	g := mustGroup(t, s, "g")
	mustRecover(t, s, g)
	mustWrite(t, s, write(g, 1, 1, 10))
	flush := func() <-chan struct{} {
		t.Helper()
		flushed, err := s.db.AsyncFlush()
		if err != nil {
			t.Fatal(err)
		}
		<-h.begun
		return flushed
	}
	first := flush()
	close(h.release)
	<-first
	h.release = make(chan struct{})
	mustWrite(t, s, write(g, 1, 11, 10))
	second := flush()
	mustWrite(t, s, point(g, mustTake(t, s, g, 10, 1), HardState{Term: 1, Commit: 10}))
	within(t, "Reclaim", func() {
		if err := s.Reclaim(); err != nil {
			t.Error(err)
		}
	})
	close(h.release)
	within(t, "the flush", func() { <-second })
	if err := s.Failed(); err != nil {
		t.Fatal(err)
	}
	expectKeys(t, s, g, 20)
	mustClose(t, s)
}

// An idle store that was cut is flushed, once.
func TestFlushCut(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	flushes := func() int64 { return s.db.Metrics().Flush.Count }
	flushCut := func(want int64) {
		t.Helper()
		before := flushes()
		if err := s.FlushCut(); err != nil {
			t.Fatal(err)
		}
		if n := flushes() - before; n != want {
			t.Errorf("%d flushes, not %d", n, want)
		}
	}
	mustWrite(t, s, write(g, 1, 1, 10))
	flushCut(0)
	flushCut(0) // idle, but not cut
	mustWrite(t, s, &Batch{Group: g, CutTo: 5, CutTerm: 1, HardState: HardState{Term: 1}, Sync: true})
	flushCut(0)
	mustWrite(t, s, write(g, 1, 11, 1))
	flushCut(0) // not idle
	flushCut(1)
	flushCut(0)
	mustClose(t, s)
	wantError(t, s.FlushCut(), ErrClosed)
	wantError(t, s.Reclaim(), ErrClosed)
}

// Cuts do not make the log being written again and again, and the directory stays small. The proportions are those of a node: as much
// is kept as a memtable has, and as much is cut at a time.
func TestCutsCostLittle(t *testing.T) {
	const unit = 2 << 20
	mem := vfs.NewMem()
	o := memOptions(mem)
	o.MemTableSize, o.ExciseBytes = unit, unit/2
	s := mustOpenWith(t, o)
	written, compacted, most := writeAndCut(t, s, mem, 16*unit, unit)
	t.Logf("of %d bytes of log, compactions wrote %d; the directory had up to %d", written, compacted, most)
	if compacted > written*3/4 { // mostly more than that when ranges are deleted in the batch
		t.Errorf("compactions wrote %d bytes of a log of %d", compacted, written)
	}
	if limit := int64(3*unit + 10*unit); most > limit {
		t.Errorf("the directory had %d bytes, more than %d", most, limit)
	}
	mustClose(t, s)
}

// writeAndCut writes so many bytes of log, and cuts whenever 2 x keep are there.
func writeAndCut(t testing.TB, s *Store, disk vfs.FS, bytes, keep int64) (written, compacted, most int64) {
	t.Helper()
	g := mustGroup(t, s, "g")
	entry := messages.EncodeEntry(1, messages.Entry_KIND_COMMAND, make([]byte, 128))
	entries := make([]messages.EncodedEntry, 64)
	for i := range entries {
		entries[i] = entry
	}
	hard := HardState{Term: 1}
	perKeep := uint64(keep) / uint64(len(entry))
	last, cut := uint64(0), uint64(0)
	var snapshot *messages.Snapshot
	for written < bytes {
		mustWrite(t, s, &Batch{Group: g, First: last + 1, Entries: entries, HardState: hard, Sync: true})
		last += uint64(len(entries))
		written += int64(len(entries) * len(entry))
		if last-cut < 2*perKeep {
			continue
		}
		cut = last - perKeep
		snapshot = mustTake(t, s, g, cut, 1, []byte("state"))
		mustWrite(t, s, point(g, snapshot, hard))
		s.RemoveSnapshots(g, snapshot)
		if s.Reclaimable() {
			if err := s.Reclaim(); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, sizeOf(t, disk))
	}
	return written, compactedBytes(s.db), most
}

func compactedBytes(db *pebble.DB) (n int64) {
	for _, level := range db.Metrics().Levels {
		n += int64(level.TableBytesCompacted)
	}
	return n
}

// sizeOf is how many bytes the data directory's files have.
func sizeOf(t testing.TB, disk vfs.FS) (n int64) {
	t.Helper()
	names, err := disk.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := disk.Stat(disk.PathJoin(dataDir, name)); err == nil && !info.IsDir() {
			n += info.Size()
		}
	}
	return n
}

// Most small cuts are gone with the memtable that they are written to: unless another size is asked for, 8 MiB are worth an excise.
func TestEightMebibytesAreWorthAnExcise(t *testing.T) {
	o := memOptions(vfs.NewMem())
	o.MemTableSize = 16 << 20
	s := mustOpenWith(t, o)
	g := mustGroup(t, s, "g")
	mebibyte := strings.Repeat("x", 1<<20)
	for index := range uint64(17) {
		mustWrite(t, s, &Batch{Group: g, HardState: HardState{Term: 1}, First: index + 1, Sync: true,
			Entries: []messages.EncodedEntry{entry(1, mebibyte)}})
	}
	for _, cut := range []struct {
		to    uint64
		later bool
	}{{7, false}, {16, true}} {
		mustWrite(t, s, point(g, mustTake(t, s, g, cut.to, 1), HardState{Term: 1, Commit: cut.to}))
		if s.Reclaimable() != cut.later {
			t.Errorf("a cut to %d MiB waits for an excise: %v", cut.to, !cut.later)
		}
	}
}
