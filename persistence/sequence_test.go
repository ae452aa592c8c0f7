package persistence

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func load(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(fs.PathJoin(dataDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func store(t testing.TB, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(fs.PathJoin(dataDir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func crash(mem *vfs.MemFS) *vfs.MemFS { return mem.CrashClone(vfs.CrashCloneCfg{}) }

// lastLog is the name of the live write-ahead log.
func lastLog(t testing.TB, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			return name
		}
	}
	t.Fatal("no log")
	return ""
}

func TestOpenRefusesOlderFilesThatWerePutBack(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 3))
	older := crash(mem)
	mustWrite(t, s, write(g, 1, 4, 3))
	mustClose(t, s)
	store(t, older, sequenceName, load(t, mem, sequenceName))
	_, err := Open(dataDir, memOptions(older))
	wantError(t, err, ErrDamaged, "the database in data ends at write 3 although write 4 was acknowledged")
	// The refusal left everything as it was.
	_, err = Open(dataDir, memOptions(older))
	wantError(t, err, ErrDamaged)
}

// One flipped bit anywhere in the live log, after the process died: either everything acknowledged is there, or Open refuses.
func TestAFlippedBitInTheLiveLogIsNoticed(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	for first := uint64(1); first < 10; first += 3 {
		mustWrite(t, s, write(g, 1, first, 3))
	}
	died := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(1)})
	name := lastLog(t, died)
	content := load(t, died, name)
	refused := 0
	for i := range content {
		flipped := slices.Clone(content)
		flipped[i] ^= 0x10
		fs := died.CrashClone(vfs.CrashCloneCfg{})
		store(t, fs, name, flipped)
		o := memOptions(fs)
		s, err := Open(dataDir, o)
		if err != nil {
			wantError(t, err, ErrDamaged)
			refused++
			continue
		}
		if found := mustRecover(t, s, g); found.Last != 9 {
			t.Errorf("byte %d flipped: %d entries of 9, silently", i, found.Last)
		}
		mustClose(t, s)
	}
	if refused < len(content)/2 {
		t.Errorf("refused %d of %d", refused, len(content))
	}
}

func TestSideFileDamage(t *testing.T) {
	zero := func(slot int) func(b []byte) []byte {
		return func(b []byte) []byte { clear(b[slot*slotDistance:][:slotLen]); return b }
	}
	cases := map[string]struct {
		change func(b []byte) []byte
		says   string // empty: tolerated
	}{
		"slot 0 torn":    {zero(0), ""},
		"slot 1 torn":    {zero(1), ""},
		"a number torn":  {func(b []byte) []byte { b[slotDistance+4] = 0xff; return b }, ""},
		"second missing": {func(b []byte) []byte { return b[:slotDistance] }, ""},
		"both torn":      {func(b []byte) []byte { return zero(0)(zero(1)(b)) }, "is damaged or another store's"},
		"empty":          {func([]byte) []byte { return nil }, "is damaged or another store's"},
		"another store's": {func(b []byte) []byte {
			fillSlot(b, 9, 12345)
			fillSlot(b[slotDistance:], 9, 12345)
			return b
		}, "is damaged or another store's"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := mustOpen(t, fs)
			mustGroup(t, s, "g")
			mustClose(t, s)
			store(t, fs, sequenceName, c.change(load(t, fs, sequenceName)))
			s, err := Open(dataDir, memOptions(fs))
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				mustClose(t, s)
				return
			}
			wantError(t, err, ErrDamaged, c.says)
		})
	}
	t.Run("missing", func(t *testing.T) {
		fs := vfs.NewMem()
		mustClose(t, mustOpen(t, fs))
		if err := fs.Remove(fs.PathJoin(dataDir, sequenceName)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dataDir, memOptions(fs))
		wantError(t, err, ErrDamaged, "the file SEQUENCE is missing")
	})
}

// durableNumber is what a power loss now would leave in the side file.
func durableNumber(t testing.TB, mem *vfs.MemFS) uint64 {
	t.Helper()
	found, err := readSide(crash(mem), dataDir)
	if err != nil || !found.valid {
		t.Fatal(found, err)
	}
	return found.number
}

func TestTheSideFileIsSyncedOncePerInterval(t *testing.T) {
	mem := vfs.NewCrashableMem()
	now := time.Unix(1000, 0)
	o := memOptions(mem)
	o.Now = func() time.Time { return now }
	s := mustOpenWith(t, o)
	g := mustGroup(t, s, "g")
	first := uint64(1)
	commit := func(sync bool) {
		b := write(g, 1, first, 1)
		b.Sync = sync
		mustWrite(t, s, b)
		first++
	}
	durable := durableNumber(t, mem)
	for range 5 {
		commit(true)
		now = now.Add(150 * time.Millisecond)
	}
	if got := durableNumber(t, mem); got != durable {
		t.Errorf("number %d was fsynced within the interval", got)
	}
	now = now.Add(300 * time.Millisecond)
	commit(true)
	if got := durableNumber(t, mem); got != s.number {
		t.Errorf("after the interval, %d of %d is durable", got, s.number)
	}
	now = now.Add(2 * time.Second)
	before := s.number
	commit(false)
	if side, err := readSide(mem, dataDir); err != nil || side.number != before {
		t.Errorf("a write that promises nothing was noted: %v, %v", side, err)
	}
	now = now.Add(-time.Second)
	commit(true)
	if err := s.SyncSequence(); err != nil {
		t.Fatal(err)
	}
	if got := durableNumber(t, mem); got != s.number {
		t.Errorf("after SyncSequence, %d of %d is durable", got, s.number)
	}
	commit(true)
	number := s.number
	mustClose(t, s)
	if got := durableNumber(t, mem); got != number {
		t.Errorf("after Close, %d of %d is durable", got, number)
	}
}

// A power loss may tear the slot that is being written at any time; the other one still counts.
func TestATornSlotNeverHidesTheDurableOne(t *testing.T) {
	mem := vfs.NewCrashableMem()
	now := time.Unix(1000, 0)
	o := memOptions(mem)
	o.Now = func() time.Time { return now }
	s := mustOpenWith(t, o)
	g := mustGroup(t, s, "g")
	for i := range uint64(20) {
		mustWrite(t, s, write(g, 2, i+1, 1))
		if i%3 == 0 {
			now = now.Add(time.Second)
		}
		if i%4 == 2 {
			mustClose(t, s)
			s = mustOpenWith(t, o)
			mustWrite(t, s, &Batch{Group: g, HardState: HardState{Term: 2}, Sync: true})
		}
		durable := durableNumber(t, mem)
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(1)})
		content := load(t, clone, sequenceName)
		synced := load(t, crash(mem), sequenceName)
		for slot := range 2 {
			at := slot * slotDistance
			if string(content[at:at+slotLen]) != string(synced[at:at+slotLen]) {
				binary.BigEndian.PutUint32(content[at:], 0)
			}
		}
		store(t, clone, sequenceName, content)
		after := mustOpenWith(t, memOptions(clone))
		if found, err := readSide(clone, dataDir); err != nil || found.number < durable {
			t.Fatalf("%v after a torn write, %d was durable, %v", found, durable, err)
		}
		mustClose(t, after)
	}
}
