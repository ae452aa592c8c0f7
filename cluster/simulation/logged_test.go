package simulation

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// The model of a disk knows logs that were cut, as the store does: at, before and beyond the last entry.
func TestTheModelKnowsCutLogs(t *testing.T) {
	for _, cut := range []uint64{1, 4, 9, 10, 15} {
		fs := vfs.NewMem()
		open := func() *persistence.Store {
			store, err := persistence.Open("data", persistence.Options{FS: fs, NodeID: "n1", MemTableSize: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			return store
		}
		store, model := open(), &newStored(1)[0]
		if _, err := store.Group("g", nil); err != nil {
			t.Fatal(err)
		}
		write := func(b persistence.Batch) {
			b.Group, b.Sync = 1, true
			if err := store.Write([]*persistence.Batch{&b}); err != nil {
				t.Fatal(err)
			}
			model.later = append(model.later, &b)
			model.synced()
			found, err := store.Recover(1)
			if err != nil {
				t.Fatal(err)
			}
			if err := model.differs(found); err != nil {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
		entries := func(term uint64, n int) (all []messages.EncodedEntry) {
			for range n {
				all = append(all, messages.EncodeEntry(term, messages.Entry_KIND_NOOP, nil))
			}
			return all
		}
		write(persistence.Batch{First: 1, Entries: entries(1, 10), HardState: persistence.HardState{Term: 1}})
		write(persistence.Batch{CutTo: cut, CutTerm: 1, HardState: persistence.HardState{Term: 2, Commit: cut}})
		write(persistence.Batch{First: max(cut, 10) + 1, Entries: entries(2, 3), HardState: persistence.HardState{Term: 2, Commit: cut}})
		write(persistence.Batch{First: max(cut, 10) + 1, Entries: entries(3, 2), HardState: persistence.HardState{Term: 3, Commit: cut}})
		if last := max(cut, 10) + 2; model.log.last() != last || model.log.at(last).term != 3 || model.log.has(cut, model.log.at(last)) {
			t.Errorf("cut at %d: the log is %+v", cut, model.log)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
