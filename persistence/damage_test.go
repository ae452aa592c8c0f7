package persistence

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

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

// The log of these tests has blocks (1..4 of term 1), (5..8 of term 2) and (9..12 of term 2), and was cut to 2.
func TestRecoveryRefusesADamagedLog(t *testing.T) {
	const g = 1
	replace := func(last uint64, first uint64, entries []messages.EncodedEntry) func(db *pebble.DB) error {
		return func(db *pebble.DB) error {
			_, value := rawBlock(g, first, entries)
			k := logKey(g, last)
			reseal(k, value)
			return db.Set(k, value, nil)
		}
	}
	set := func(key []byte, m proto.Message) func(db *pebble.DB) error {
		return func(db *pebble.DB) error {
			v, err := encodeRecord(key, m)
			if err != nil {
				return err
			}
			return db.Set(key, v, nil)
		}
	}
	cases := map[string]struct {
		change func(db *pebble.DB) error
		says   string
	}{
		"a block is gone (P-16)":        {func(db *pebble.DB) error { return db.Delete(logKey(g, 8), nil) }, "entries 5 to 8 are missing"},
		"the first block is gone":       {func(db *pebble.DB) error { return db.Delete(logKey(g, 4), nil) }, "entries 3 to 4 are missing"},
		"the last block is gone (P-16)": {func(db *pebble.DB) error { return db.Delete(logKey(g, 12), nil) }, "it ends at entry 8 although entry 11 was committed"},
		"the log is gone":               {func(db *pebble.DB) error { return db.DeleteRange(logKey(g, 0), logEnd(g), nil) }, "it ends at entry 2 although entry 11 was committed"},
		"a block below the cut":         {replace(2, 1, run(1, 1, 2)), "entries 1 to 2 are still there although it was cut up to 2"},
		"a block twice":                 {replace(6, 5, run(2, 5, 2)), "entries 5 to 6 are there twice"},
		"a wrong place":                 {replace(8, 6, run(2, 6, 4)), "its place does not fit"},
		"an empty block": {func(db *pebble.DB) error {
			k, v := rawBlock(g, 9, run(2, 9, 4))
			v = v[:blockHeaderLen]
			clear(v[blockHeaderLen-4:])
			k[len(k)-1] = 8
			reseal(k, v)
			return db.Set(k, v, nil)
		}, "its place does not fit"},
		"falling terms": {replace(12, 9, run(1, 9, 4)), "the term falls from 2 to 1 at entry 9"},
		"a term below the cut's": {func(db *pebble.DB) error {
			if err := replace(4, 3, run(1, 3, 2))(db); err != nil {
				return err
			}
			return set(key(g, kindCompacted), &messages.Compacted{Index: 2, Term: 2})(db)
		}, "the term falls from 2 to 1 at entry 3"},
		"another term at the cut": {set(key(g, kindCompacted), &messages.Compacted{Index: 2, Term: 7}), "it was cut at entry 2 of term 7, and that entry is of term 1"},
		"a term nobody has seen":  {replace(12, 9, run(4, 9, 4)), "an entry is of term 4 although the server has seen no term after 3"},
		"an undecodable entry":    {replace(12, 9, append(run(2, 9, 3), []byte{0xff})), "entry 12 cannot be decoded"},
		"bytes after the entries": {func(db *pebble.DB) error {
			k, v := rawBlock(g, 9, run(2, 9, 4))
			v = append(v, 0)
			reseal(k, v)
			return db.Set(k, v, nil)
		}, "its framing is wrong"},
		"a short block": {func(db *pebble.DB) error {
			k, v := rawBlock(g, 9, run(2, 9, 4))
			v = v[:len(v)-1]
			reseal(k, v)
			return db.Set(k, v, nil)
		}, "its framing is wrong"},
		"no header":                    {func(db *pebble.DB) error { return db.Set(logKey(g, 12), []byte{1}, nil) }, "its framing is wrong"},
		"a hard state that is not one": {func(db *pebble.DB) error { return db.Set(key(g, kindHardState), []byte{0xff}, nil) }, "its hard state cannot be decoded"},
		"no hard state":                {func(db *pebble.DB) error { return db.Delete(key(g, kindHardState), nil) }, "although the server has seen no term after 0"},
		"a cut that is not one":        {func(db *pebble.DB) error { return db.Set(key(g, kindCompacted), []byte{0xff}, nil) }, "the record of the last cut cannot be decoded"},
		"an unknown record":            {func(db *pebble.DB) error { return db.Set(key(g, 'Z'), nil, nil) }, "is none of troupe's"},
		"a short log key":              {func(db *pebble.DB) error { return db.Set(append(appendLogPrefix(nil, g), 0xff), nil, nil) }, "is none of troupe's"},
		"a pin that is not one":        {func(db *pebble.DB) error { return db.Set(peerKey(g, "n2"), []byte{1}, nil) }, "the store id of peer \"n2\" cannot be decoded"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fs := damageable(t, g)
			tamper(t, fs, c.change)
			refuses(t, fs, g, c.says)
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
	mustCommit(t, s, write(g, 1, 1, 4), write(g, 2, 5, 4), last)
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
	tamper(t, fs, func(db *pebble.DB) error { return db.Delete(logKey(g, 8), nil) })
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
	mustCommit(t, s, write(g, 1, 1, 5000))
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
