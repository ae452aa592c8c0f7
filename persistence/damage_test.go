package persistence

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

// rawBlock is a block as putBlocks makes it.
func rawBlock(g GroupID, first uint64, entries []messages.EncodedEntry) (key, value []byte) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	b := db.NewBatch()
	defer func() { _ = b.Close() }()
	putBlocks(b, g, first, entries)
	r := b.Reader()
	_, key, value, _, _ = r.Next()
	return append([]byte(nil), key...), append([]byte(nil), value...)
}

// damage changes a database behind the store's back.
type damage func(db *pebble.DB) error

func setting(key, value []byte) damage {
	return func(db *pebble.DB) error { return db.Set(key, value, nil) }
}

func deleting(key []byte) damage {
	return func(db *pebble.DB) error { return db.Delete(key, nil) }
}

// replacing puts other entries, well framed and sealed, where the block of group 1 is that ends at last.
func replacing(last, first uint64, entries []messages.EncodedEntry) damage {
	return func(db *pebble.DB) error {
		_, value := rawBlock(1, first, entries)
		k := logKey(1, last)
		reseal(k, value)
		return db.Set(k, value, nil)
	}
}

// reframing changes the bytes of the last block, and seals them as the block that ends at entry end.
func reframing(change func(block []byte) []byte, end byte) damage {
	return func(db *pebble.DB) error {
		k, v := rawBlock(1, 9, run(2, 9, 4))
		v = change(v)
		k[len(k)-1] = end
		reseal(k, v)
		return db.Set(k, v, nil)
	}
}

func cutting(index, term uint64) damage {
	return func(db *pebble.DB) error {
		k := key(1, kindCompacted)
		v, err := encodeRecord(k, &messages.Compacted{Index: index, Term: term})
		if err != nil {
			return err
		}
		return db.Set(k, v, nil)
	}
}

// damages of the log of group 1. It has the blocks (1..4 of term 1), (5..8 of term 2) and (9..12 of term 2), and was cut to 2.
var damages = map[string]struct {
	change damage
	says   string
}{
	"a block is gone (P-16)":        {deleting(logKey(1, 8)), "entries 5 to 8 are missing"},
	"the first block is gone":       {deleting(logKey(1, 4)), "entries 3 to 4 are missing"},
	"the last block is gone (P-16)": {deleting(logKey(1, 12)), "it ends at entry 8 although entry 11 was committed"},
	"the log is gone": {func(db *pebble.DB) error {
		return db.DeleteRange(logKey(1, 0), logEnd(1), nil)
	}, "it ends at entry 2 although entry 11 was committed"},
	"a block twice": {replacing(6, 5, run(2, 5, 2)), "entries 5 to 6 are there twice"},
	"a wrong place": {replacing(8, 6, run(2, 6, 4)), "its place does not fit"},
	"an empty block": {reframing(func(block []byte) []byte {
		clear(block[blockHeaderLen-4 : blockHeaderLen])
		return block[:blockHeaderLen]
	}, 8), "its place does not fit"},
	"falling terms": {replacing(12, 9, run(1, 9, 4)), "the term falls from 2 to 1 at entry 9"},
	"a term below the cut's": {func(db *pebble.DB) error {
		if err := replacing(4, 3, run(1, 3, 2))(db); err != nil {
			return err
		}
		return cutting(2, 2)(db)
	}, "the term falls from 2 to 1 at entry 3"},
	"another term at the cut": {cutting(2, 7), "it was cut at entry 2 of term 7, and that entry is of term 1"},
	"a term nobody has seen":  {replacing(12, 9, run(4, 9, 4)), "an entry is of term 4 although the server has seen no term after 3"},
	"an undecodable entry":    {replacing(12, 9, append(run(2, 9, 3), []byte{0xff})), "entry 12 cannot be decoded"},
	"bytes after the entries": {reframing(func(block []byte) []byte { return append(block, 0) }, 12), "its framing is wrong"},
	"a short block":           {reframing(func(block []byte) []byte { return block[:len(block)-1] }, 12), "its framing is wrong"},

	"no header":                    {setting(logKey(1, 12), []byte{1}), "its framing is wrong"},
	"a hard state that is not one": {setting(key(1, kindHardState), []byte{0xff}), "its hard state cannot be decoded"},
	"no hard state":                {deleting(key(1, kindHardState)), "although the server has seen no term after 0"},
	"a cut that is not one":        {setting(key(1, kindCompacted), []byte{0xff}), "the record of the last cut cannot be decoded"},
	"an unknown record":            {setting(key(1, 'Z'), nil), "is none of troupe's"},
	"a short log key":              {setting(append(appendLogPrefix(nil, 1), 0xff), nil), "is none of troupe's"},
	"a pin that is not one":        {setting(peerKey(1, "n2"), []byte{1}), "the store id of peer \"n2\" cannot be decoded"},
}

func TestRecoveryRefusesADamagedLog(t *testing.T) {
	for name, c := range damages {
		t.Run(name, func(t *testing.T) {
			fs := damageable(t, 1)
			tamper(t, fs, c.change)
			refuses(t, fs, 1, c.says)
		})
	}
}

// damageable makes a store with one group, closed.
func damageable(t *testing.T, g GroupID) *vfs.MemFS {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if got := mustGroup(t, s, "g"); got != g {
		t.Fatal(got)
	}
	last := write(g, 2, 9, 4)
	last.HardState = HardState{Term: 3, Commit: 11}
	last.PinnedPeers = map[string]uint64{"n2": 5}
	last.CutTo, last.CutTerm = 2, 1
	mustWrite(t, s, write(g, 1, 1, 4), write(g, 2, 5, 4), last)
	mustClose(t, s)
	return fs
}

func refuses(t *testing.T, fs vfs.FS, g GroupID, says string) {
	t.Helper()
	s := mustOpen(t, fs)
	for range 2 {
		_, err := s.Recover(g)
		wantError(t, err, ErrDamaged, "the log of group 1 in data is damaged", says, "nothing was changed")
	}
	mustClose(t, s)
}

func TestRecoveryRefusesAnyFlippedByteOfABlock(t *testing.T) {
	const g = 1
	_, good := rawBlock(g, 9, run(2, 9, 4))
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if _, err := openBlock(logKey(g, 12), bad); err == nil {
			t.Errorf("byte %d flipped: accepted", i)
		}
	}
	if _, err := openBlock(logKey(g+1, 12), good); err == nil {
		t.Error("accepted in another group")
	}
	fs := damageable(t, g)
	tamper(t, fs, func(db *pebble.DB) error {
		good[30] ^= 1
		return db.Set(logKey(g, 12), good, nil)
	})
	refuses(t, fs, g, "the block that ends at entry 12: its checksum is wrong")
	s := mustOpen(t, fs)
	_, _, err := s.Read(g, 9, 10, 1)
	wantError(t, err, ErrDamaged, "its checksum is wrong")
	_, _, err = s.Read(g, 5, 6, 1)
	if err != nil {
		t.Error(err)
	}
	// A damaged block is not put back under a new checksum.
	wantError(t, s.Write([]*Batch{write(g, 9, 11, 1)}), ErrDamaged, "its checksum is wrong")
}

func TestReadRefusesAHole(t *testing.T) {
	const g = 1
	fs := damageable(t, g)
	tamper(t, fs, deleting(logKey(g, 8)))
	s := mustOpen(t, fs)
	for _, lo := range []uint64{4, 5, 6} {
		_, _, err := s.Read(g, lo, 12, 1<<20)
		wantError(t, err, ErrDamaged, "a hole is before it")
	}
}

// P-16: a table that lost its tail.
func TestOpenRefusesAShortTable(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 5000))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	names, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			content := load(t, fs, name)
			store(t, fs, name, content[:len(content)-10])
		}
	}
	_, err = Open(dataDir, memOptions(fs))
	wantError(t, err, ErrDamaged)
}

// A table in which a byte is not what was written is one sentence, whoever comes upon it, and nobody waits for ever.
func TestAFlippedByteOfATableIsASentence(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	g := mustGroup(t, s, "g")
	for first := uint64(1); first < 5000; first += 500 {
		mustWrite(t, s, write(g, 1, first, 500))
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	tables, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		if content := load(t, fs, name); strings.HasSuffix(name, ".sst") && len(content) > 40_000 {
			content[30_000] ^= 1
			store(t, fs, name, content)
		}
	}
	for name, read := range map[string]func(*Store) error{
		"recovery": func(s *Store) error { _, err := s.Recover(g); return err },
		"reading":  func(s *Store) error { _, _, err := s.Read(g, 1, 5001, 1<<20); return err },
	} {
		s = mustOpen(t, fs)
		within(t, name, func() { err = read(s) })
		wantError(t, err, ErrDamaged, "data/", ".sst is damaged", "checksum mismatch", "put the directory back as")
		if strings.Contains(err.Error(), "\n") || !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %q", name, err)
		}
		within(t, "Close", func() { wantError(t, s.Close(), ErrFailed, "is damaged") })
	}
}

// No database is founded in the place of one that was there: Pebble would begin a new one with what is left of the log.
func TestADatabaseThatIsGoneIsNotFoundedAnew(t *testing.T) {
	for name, isLost := range map[string]func(file string) bool{
		"where its manifest is": func(file string) bool { return strings.HasPrefix(file, "marker.manifest") },
		"all but the snapshots": func(file string) bool { return file != snapshotsDir },
	} {
		fs, _, _ := damageableSnapshot(t)
		for _, file := range files(t, fs) {
			if isLost(file) {
				if err := fs.Remove(fs.PathJoin(dataDir, file)); err != nil {
					t.Fatal(err)
				}
			}
		}
		left := files(t, fs)
		_, err := Open(dataDir, memOptions(fs))
		wantError(t, err, ErrDamaged, "the database in data is gone", "put the directory back")
		if now := files(t, fs); !slices.Equal(now, left) && !slices.Equal(now, append([]string{"LOCK"}, left...)) {
			t.Errorf("%s: there is %v, and was %v", name, now, left)
		}
		if got := snapshotFiles(t, fs); !slices.Equal(got, []string{"1/5-1"}) {
			t.Errorf("%s: snapshots %v", name, got)
		}
	}
}

func files(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
