package persistence

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// moment is a disk as a power loss at one mutating call would leave it.
type moment struct {
	mem *vfs.MemFS
	// acknowledged is what had been promised before the call.
	acknowledged int
	op           errorfs.Op
}

// P-14: the power fails before each single mutating call, of founding, writing, flushing, closing and opening again. What
// was acknowledged is there, and recovery is idempotent.
func TestPowerLossAtEachStep(t *testing.T) {
	t.Run("logs that grow", func(t *testing.T) { powerLossAtEachStep(t, func(fs vfs.FS) vfs.FS { return fs }) })
	t.Run("logs that are filled first", func(t *testing.T) {
		powerLossAtEachStep(t, func(fs vfs.FS) vfs.FS { return prepared{fs, 16 << 10} })
	})
}

func powerLossAtEachStep(t *testing.T, prepare func(vfs.FS) vfs.FS) {
	d := newDisk(vfs.NewCrashableMem())
	var acknowledged atomic.Int32
	var mu sync.Mutex
	var moments []moment
	d.inject(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			moments = append(moments, moment{d.mem.crash(), int(acknowledged.Load()), op})
		}
		return nil
	})
	states := script(t, prepare(d), &acknowledged)
	if len(moments) < 100 {
		t.Errorf("only %d moments", len(moments))
	}
	for i, m := range moments {
		s, err := Open(dataDir, memOptions(prepare(m.mem)))
		if err != nil {
			t.Fatalf("moment %d, %v: %v", i, m.op, err)
		}
		first := shown(t, s)
		if !slices.Contains(states[m.acknowledged:], first) {
			t.Fatalf("moment %d, %v: found %q, acknowledged was %q", i, m.op, first, states[m.acknowledged])
		}
		if files := snapshotFiles(t, m.mem); len(files) > 1 {
			t.Fatalf("moment %d, %v: leftovers among %v", i, m.op, files)
		}
		// The power fails again, right after recovery.
		again := mustOpen(t, crash(m.mem))
		if second := shown(t, again); second != first {
			t.Fatalf("moment %d, %v: recovered again %q, first %q", i, m.op, second, first)
		}
		mustClose(t, again)
		mustClose(t, s)
	}
}

// script runs a store through its life, counts each acknowledged step, and returns what is stored after each.
func script(t *testing.T, fs vfs.FS, acknowledged *atomic.Int32) (states []string) {
	o := memOptions(fs)
	o.SequenceInterval, o.ExciseBytes, o.LogGranule = -1, 100, 10
	states = []string{"-"}
	step := func(s *Store) {
		states = append(states, shown(t, s))
		acknowledged.Add(1)
	}
	s := mustOpenWith(t, o)
	const g = 1
	if mustGroup(t, s, "g") != g {
		t.Fatal("another number")
	}
	step(s)
	for i, b := range []*Batch{
		write(g, 1, 1, 4), write(g, 1, 5, 400), write(g, 2, 3, 2), write(g, 2, 5, 900), write(g, 3, 500, 10),
		{Group: g, CutTo: 100, CutTerm: 2, HardState: HardState{Term: 3, Vote: "n2", Commit: 100}, Sync: true},
		write(g, 3, 510, 50), write(g, 4, 101, 3),
	} {
		mustWrite(t, s, b)
		step(s)
		if i%3 == 1 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 4 {
			if err := s.PrepareLog(); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			s = mustOpenWith(t, o)
		}
	}
	scriptOfSnapshots(t, s, g, step)
	mustClose(t, s)
	return states
}

// scriptOfSnapshots takes one, cuts, reclaims, and installs another one. Each step that changes nothing that is shown counts as one, too.
func scriptOfSnapshots(t *testing.T, s *Store, g GroupID, step func(*Store)) {
	hard := HardState{Term: 4, Commit: 103}
	mustWrite(t, s, write(g, 4, 104, 300))
	step(s)
	taken := mustTake(t, s, g, 250, 4, []byte("taken"), []byte("in pieces"))
	step(s)
	mustWrite(t, s, &Batch{Group: g, Snapshot: taken, HardState: hard, Sync: true})
	step(s)
	mustWrite(t, s, &Batch{Group: g, CutTo: 240, CutTerm: 4, HardState: hard, Sync: true})
	step(s)
	for range 2 {
		if err := s.Reclaim(); err != nil {
			t.Fatal(err)
		}
		step(s)
	}
	sent := mustTake(t, s, g, 300, 4, []byte("received"))
	raw := rawSnapshot(t, s, g, sent)
	s.RemoveSnapshots(g, taken)
	installed, err := receive(s, g, sent, raw, 50)
	if err != nil {
		t.Fatal(err)
	}
	step(s)
	b := point(g, installed, HardState{Term: 4, Commit: 300})
	b.Reset = true
	mustWrite(t, s, b)
	step(s)
	s.RemoveSnapshots(g, installed)
	step(s)
	mustWrite(t, s, write(g, 5, 301, 3))
	step(s)
}

// shown is all that is stored of group 1; "-" while it is not founded.
func shown(t *testing.T, s *Store) string {
	t.Helper()
	records, err := s.Groups()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 {
		return "-"
	}
	found := mustRecover(t, s, 1)
	if again := mustRecover(t, s, 1); !reflect.DeepEqual(found, again) {
		t.Fatalf("recovered %+v, then %+v", found, again)
	}
	text := show(t, s, 1)
	found.Marks = nil // the granules differ
	if p := found.Snapshot; p != nil {
		text += fmt.Sprintf(" snapshot %d@%d %x", p.LastIncludedIndex, p.LastIncludedTerm, sha256.Sum256(mustReadSnapshot(t, s, 1, p)))
		found.Snapshot = nil // a pointer is shown as an address
	}
	return fmt.Sprintf("%+v %s", found, text)
}

// P-06: a write was torn, at any byte, with zeros, ones or garbage behind it. The store opens and drops at most what was
// never acknowledged.
func TestTornLastWrite(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 3))
	before := crash(mem)
	name := lastLog(t, before)
	short := load(t, before, name)
	mustWrite(t, s, write(g, 1, 4, 3))
	long := load(t, crash(mem), name)
	if lastLog(t, mem) != name || len(long) <= len(short) {
		t.Fatal("the second write went elsewhere")
	}
	garbage := make([]byte, 64)
	rng := newRand(6)
	for i := range garbage {
		garbage[i] = byte(rng.Uint32())
	}
	suffixes := map[string][]byte{"nothing": nil, "zeros": make([]byte, 64), "ones": slices.Repeat([]byte{0xff}, 64), "garbage": garbage}
	for end := len(short); end <= len(long); end++ {
		for kind, suffix := range suffixes {
			fs := crash(before)
			store(t, fs, name, slices.Concat(long[:end], suffix))
			s, err := Open(dataDir, memOptions(fs))
			if err != nil {
				t.Errorf("torn after byte %d of %d, then %s: %v", end, len(long), kind, err)
				continue
			}
			if found := mustRecover(t, s, g); found.Last != 3 && found.Last != 6 {
				t.Errorf("torn after byte %d of %d, then %s: last index %d", end, len(long), kind, found.Last)
			}
			mustClose(t, s)
		}
	}
}

// P-06: a log file that was created, and lost all its bytes, or has no more than a header.
func TestAnEmptyLiveLog(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 3))
	mustClose(t, s)
	s = mustOpen(t, mem) // flushes what the old log held, and begins a new one
	fs := crash(mem)
	content := load(t, fs, lastLog(t, fs))
	for n := range min(len(content), 12) + 1 {
		clone := crash(fs)
		store(t, clone, lastLog(t, fs), content[:n])
		after := mustOpen(t, clone)
		if found := mustRecover(t, after, g); found.Last != 3 {
			t.Errorf("%d bytes of log: last index %d", n, found.Last)
		}
		mustClose(t, after)
	}
	mustClose(t, s)
}

// P-16: the live log is shorter than what was acknowledged.
func TestAShortLiveLogIsNoticed(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 3))
	if err := s.SyncSequence(); err != nil {
		t.Fatal(err)
	}
	fs := crash(mem)
	name := lastLog(t, fs)
	content := load(t, fs, name)
	for n := range content {
		clone := crash(fs)
		store(t, clone, name, content[:n])
		after, err := Open(dataDir, memOptions(clone))
		if err == nil {
			if found := mustRecover(t, after, g); found.Last != 3 {
				t.Errorf("%d of %d bytes: last index %d, silently", n, len(content), found.Last)
			}
			mustClose(t, after)
			continue
		}
		wantError(t, err, ErrDamaged)
	}
}

// P-10: an append fails once, space returns, the next append arrives. It must not be stored over the gap.
func TestAFailedAppendLeavesNoGap(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := newDisk(mem)
	failed := make(chan error, 1)
	o := memOptions(d)
	o.OnFailure = func(err error) { failed <- err }
	s, err := Open(dataDir, o)
	if err != nil {
		t.Fatal(err)
	}
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 6))
	d.inject(once(on(fmt.Errorf("no space"), ".log", errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData)))
	go func() {
		if s.Write([]*Batch{write(g, 1, 7, 1)}) == nil {
			t.Error("entry 7 was acknowledged")
		}
	}()
	<-failed
	within(t, "Write", func() { wantError(t, s.Write([]*Batch{write(g, 1, 8, 1)}), ErrFailed) })
	within(t, "Close", func() { wantError(t, s.Close(), ErrFailed) })
	s = mustOpen(t, crash(mem))
	if got := show(t, s, g); got != "1@1 2@1 3@1 4@1 5@1 6@1" {
		t.Error(got)
	}
	wantError(t, s.Write([]*Batch{write(g, 1, 8, 1)}), ErrFailed, "the log ends at 6")
}
