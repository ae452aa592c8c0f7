package persistence

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-raft/troupe/messages"
)

// What a newer troupe wrote is refused as newer, wherever it is; nothing of it is skipped.
func TestWhatIsNewerIsRefused(t *testing.T) {
	sealed := func(key []byte) func(*pebble.DB) error {
		return func(db *pebble.DB) error { return db.Set(key, sealRecord(nil, key, []byte("new")), nil) }
	}
	for name, key := range map[string][]byte{
		"a region before the records": {regionRecords - 1, 1},
		"a region after the records":  {regionRecords + 1, 1},
		"a region after the logs":     {regionLogs + 1, 1},
		"a record of the node":        key(0, 'H'),
		"its last record":             key(0, 'Z'),
	} {
		t.Run(name, func(t *testing.T) {
			fs := damageable(t, 1)
			tamper(t, fs, sealed(key))
			_, err := Open(dataDir, memOptions(fs))
			wantError(t, err, ErrNewer, "is of a newer format than 2, which is the newest that this troupe knows: start a newer troupe")
		})
	}
	fs := damageable(t, 1)
	tamper(t, fs, sealed(key(1, 'Z')))
	s := mustOpen(t, fs)
	_, err := s.Recover(1)
	wantError(t, err, ErrNewer, "the log of group 1", "of a newer format than 2")
	mustClose(t, s)
}

// What a build from before the first release wrote is refused as old, and not as damaged.
func TestWhatIsOlderIsRefused(t *testing.T) {
	fs := damageable(t, 1)
	tamper(t, fs, func(db *pebble.DB) error {
		old := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
		old = protowire.AppendString(protowire.AppendTag(old, 2, protowire.BytesType), "n1")
		old = protowire.AppendFixed64(protowire.AppendTag(old, 3, protowire.Fixed64Type), 7)
		k := key(0, kindIdentity)
		return db.Set(k, sealRecord(nil, k, old), nil)
	})
	_, err := Open(dataDir, memOptions(fs))
	wantError(t, err, ErrOlder, "was written by a build of troupe from before the first release, and this troupe knows formats from 1 to 2")
}

// Entries that change the group are recovered apart; those below a cut are not.
func TestAmendmentsAreRecovered(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	g := mustGroup(t, s, "g")
	special := func(kind int32) messages.EncodedEntry {
		return messages.EncodeEntry(1, messages.Entry_Kind(kind), []byte{1})
	}
	mustWrite(t, s, &Batch{Group: g, First: 1, Entries: []messages.EncodedEntry{
		special(2), special(0), special(1), special(3), special(77), special(1),
	}, HardState: HardState{Term: 1}, Sync: true})
	expect := func(want ...uint64) {
		t.Helper()
		found := mustRecover(t, s, g).Amendments
		if len(found) != len(want) {
			t.Fatalf("%d amendments, not %d", len(found), len(want))
		}
		for i, index := range want {
			if found[i].Index != index {
				t.Errorf("the amendment %d is entry %d, not %d", i, found[i].Index, index)
			}
		}
	}
	expect(1, 4, 5)
	mustWrite(t, s, &Batch{Group: g, CutTo: 4, CutTerm: 1, HardState: HardState{Term: 1}, Sync: true})
	expect(5)
	mustClose(t, s)
}
