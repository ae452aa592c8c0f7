package persistence

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// swapped is the file with its two last pieces, which have the same length, in each other's place.
func swapped(raw []byte) []byte {
	end := len(raw) - trailerLen
	first, second := raw[end-2*(frameHead+4):end-(frameHead+4)], raw[end-(frameHead+4):end]
	return slices.Concat(raw[:end-2*(frameHead+4)], second, first, raw[end:])
}

// damagedSnapshots are files that are not what was written, and what is said of them.
func damagedSnapshots(raw []byte) map[string]struct {
	raw  []byte
	says string
} {
	newer := slices.Clone(raw)
	newer[magicLen-1] = 9
	flipped := func(at int) []byte {
		b := slices.Clone(raw)
		b[at] ^= 1
		return b
	}
	return map[string]struct {
		raw  []byte
		says string
	}{
		"short":             {raw[:len(raw)-1], "bytes"},
		"nothing":           {nil, "bytes"},
		"long":              {append(slices.Clone(raw), 0), "bytes"},
		"no magic":          {flipped(0), "does not begin as a snapshot does"},
		"a newer format":    {newer, "has format 9"},
		"a header's bit":    {flipped(magicLen + frameHead + 3), "the checksum of its part 0 is wrong"},
		"a long header":     {flipped(magicLen), "part 0 is too long"},
		"a piece's bit":     {flipped(len(raw) - trailerLen - 1), "the checksum of its part 3 is wrong"},
		"swapped pieces":    {swapped(raw), "the checksum of its part 2 is wrong"},
		"the state's size":  {flipped(len(raw) - 40), "bytes of state, not"},
		"the digest's bits": {flipped(len(raw) - 1), "SHA-256"},
	}
}

func damageableSnapshot(t *testing.T) (mem *vfs.MemFS, snapshot *messages.Snapshot, raw []byte) {
	mem = vfs.NewMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 9))
	snapshot = mustTake(t, s, g, 5, 1, bytes.Repeat([]byte{7}, 1000), []byte("2222"), []byte("3333"))
	mustWrite(t, s, point(g, snapshot, HardState{Term: 1, Commit: 5}))
	raw = rawSnapshot(t, s, g, snapshot)
	mustClose(t, s)
	return mem, snapshot, raw
}

// A file that is not what was written is refused: when the store is opened, when it is read, as a backup, and when it comes from a peer.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	mem, snapshot, raw := damageableSnapshot(t)
	s := mustOpen(t, mem)
	other := mustGroup(t, s, "other")
	for name, c := range damagedSnapshots(raw) {
		t.Run(name, func(t *testing.T) {
			kind := ErrDamaged
			if name == "a newer format" {
				kind = ErrNewer
			}
			received, err := receive(s, other, snapshot, c.raw, 100)
			wantError(t, err, kind, "that comes from another node cannot be used")
			if received != nil {
				t.Error("a damaged snapshot was received")
			}
			store(t, mem, "copy", c.raw)
			_, err = OpenSnapshotFile(mem, dataDir+"/copy")
			wantError(t, err, kind, "copy")
			r, err := openSnapshot(mem, dataDir+"/copy", snapshot)
			if err == nil {
				_, err = io.ReadAll(r)
				_ = r.Close()
			}
			wantError(t, err, kind, c.says)
		})
	}
	if err := mem.Remove(dataDir + "/copy"); err != nil {
		t.Fatal(err)
	}
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/5-1"}) {
		t.Errorf("left behind: %v", got)
	}
	mustClose(t, s)
	for name, c := range damagedSnapshots(raw) {
		kind := ErrDamaged
		if name == "a newer format" {
			kind = ErrNewer
		}
		store(t, mem, "snapshots/1/5-1", c.raw)
		_, err := Open(dataDir, memOptions(mem))
		wantError(t, err, kind, "snapshot", c.says)
	}
	store(t, mem, "snapshots/1/5-1", raw)
	mustClose(t, mustOpen(t, mem))
	if err := mem.Remove(dataDir + "/snapshots/1/5-1"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dataDir, memOptions(mem))
	wantError(t, err, ErrDamaged, "the snapshot of group 1 in data is not what was written", "put the directory back")
}

// Every single byte of a file counts.
func TestAnyFlippedByteOfASnapshot(t *testing.T) {
	mem, snapshot, raw := damageableSnapshot(t)
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 0x10
		store(t, mem, "copy", bad)
		if r, err := openSnapshot(mem, dataDir+"/copy", snapshot); err == nil {
			if _, err := io.ReadAll(r); err == nil {
				t.Errorf("byte %d flipped: accepted", i)
			}
			_ = r.Close()
		}
	}
}

// What comes is the snapshot that was said, or an error: another index, term or digest, or more bytes.
func TestAnotherSnapshotIsNotReceived(t *testing.T) {
	mem, snapshot, raw := damageableSnapshot(t)
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "other")
	for says, change := range map[string]func(*messages.Snapshot){
		"it is of entry 5 of term 1, not of entry 6": func(p *messages.Snapshot) { p.LastIncludedIndex = 6 },
		"not of entry 5 of term 2":                   func(p *messages.Snapshot) { p.LastIncludedTerm = 2 },
		"its SHA-256 is not the one that was said":   func(p *messages.Snapshot) { p.Digest[3]++ },
		"it has too many bytes":                      func(p *messages.Snapshot) { p.Bytes-- },
		"it is too short":                            func(p *messages.Snapshot) { p.Bytes++ },
	} {
		said := proto.CloneOf(snapshot)
		change(said)
		_, err := receive(s, g, said, raw, 64)
		wantError(t, err, ErrDamaged, says)
	}
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/5-1"}) {
		t.Errorf("left behind: %v", got)
	}
	_, err := receive(s, 1, snapshot, raw, 64) // its file must not be replaced
	wantError(t, err, nil, "is not newer than the one that there is")
	mustClose(t, s)
}

// A pointer that does not fit the log is damage.
func TestAPointerThatDoesNotFitIsRefused(t *testing.T) {
	for says, change := range map[string]damage{
		"the pointer to its snapshot cannot be decoded":                setting(key(1, kindSnapshot), []byte{0xff}),
		"it was cut at entry 7 although its snapshot ends at entry 5":  cutting(7, 1),
		"it was cut at entry 5 of term 4, and that entry is of term 1": cutting(5, 4),
		"its snapshot ends at entry 5 of term 1, and that entry is of": damageOfTerm(),
		"it ends at entry 0 although its snapshot ends at entry 5":     emptying(),
	} {
		mem, _, _ := damageableSnapshot(t)
		s := mustOpen(t, mem)
		db := s.db
		if err := change(db); err != nil {
			t.Fatal(err)
		}
		_, err := s.Recover(1)
		wantError(t, err, ErrDamaged, "the log of group 1 in data is damaged", says)
		mustClose(t, s)
	}
}

// damageOfTerm takes the cut back and puts other terms there.
func damageOfTerm() damage {
	return func(db *pebble.DB) error {
		return errors.Join(db.Delete(key(1, kindCompacted), nil), replacing(9, 1, run(2, 1, 9))(db))
	}
}

func emptying() damage {
	return func(db *pebble.DB) error {
		return errors.Join(db.Delete(key(1, kindCompacted), nil), db.DeleteRange(logKey(1, 0), logEnd(1), nil),
			setting(key(1, kindHardState), nil)(db), db.Delete(key(1, kindHardState), nil))
	}
}

// A full disk, or any call that fails while a snapshot is taken or received, fails that snapshot only, and leaves nothing behind.
func TestADiskThatFailsFailsTheSnapshotOnly(t *testing.T) {
	for name, make := range map[string]func(*Store, GroupID, *messages.Snapshot, []byte) (*messages.Snapshot, error){
		"taking": func(s *Store, g GroupID, _ *messages.Snapshot, _ []byte) (*messages.Snapshot, error) {
			return take(s, g, 6, 1, []byte("one"), []byte("two"), []byte("three"))
		},
		"receiving": func(s *Store, _ GroupID, snapshot *messages.Snapshot, raw []byte) (*messages.Snapshot, error) {
			return receive(s, 2, snapshot, raw, 300)
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem, snapshot, raw := damageableSnapshot(t)
			d := newDisk(mem)
			s := mustOpen(t, d)
			mustGroup(t, s, "other")
			last := uint64(9)
			for at := int32(1); at < 100; at++ {
				var calls atomic.Int32
				d.inject(func(op errorfs.Op) error {
					writes := op.Kind != errorfs.OpRemove && op.Kind.ReadOrWrite() == errorfs.OpIsWrite
					if writes && strings.Contains(op.Path, snapshotsDir) && calls.Add(1) == at {
						return syscall.ENOSPC
					}
					return nil
				})
				got, err := make(s, 1, snapshot, raw)
				d.inject(func(errorfs.Op) error { return nil })
				if err == nil {
					if got == nil || at < 8 {
						t.Errorf("only %d calls could fail", at)
					}
					break
				}
				wantError(t, err, syscall.ENOSPC, "cannot be kept in data")
				if files := snapshotFiles(t, mem); !slices.Equal(files, []string{"1/5-1"}) {
					t.Fatalf("after call %d failed: %v", at, files)
				}
				mustWrite(t, s, write(1, 1, last+1, 1)) // the node goes on
				last++
			}
			if err := s.Failed(); err != nil {
				t.Error(err)
			}
			mustClose(t, s)
		})
	}
}
