package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

const dataDir = "data"

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

func memOptions(fs vfs.FS) Options {
	return Options{FS: fs, NodeID: "n1", Cluster: "c", StoreID: 7, MemTableSize: 256 << 10}
}

func mustOpen(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	return mustOpenWith(t, memOptions(fs))
}

func mustOpenWith(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(dataDir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustGroup(t testing.TB, s *Store, name string) GroupID {
	t.Helper()
	record, err := s.Group(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return GroupID(record.Number)
}

func mustWrite(t tester, s *Store, batches ...*Batch) {
	t.Helper()
	if err := s.Write(batches); err != nil {
		t.Fatal(err)
	}
}

func mustRecover(t testing.TB, s *Store, group GroupID) Recovered {
	t.Helper()
	found, err := s.Recover(group)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// entry makes an entry whose data says where it came from.
func entry(term uint64, data string) messages.EncodedEntry {
	return messages.EncodeEntry(term, messages.Entry_KIND_COMMAND, []byte(data))
}

// run makes count entries of a term, from index first on.
func run(term, first uint64, count int) []messages.EncodedEntry {
	entries := make([]messages.EncodedEntry, count)
	for i := range entries {
		entries[i] = entry(term, fmt.Sprintf("%d@%d", first+uint64(i), term))
	}
	return entries
}

// write makes a synced batch of count entries.
func write(group GroupID, term, first uint64, count int) *Batch {
	return &Batch{Group: group, First: first, Entries: run(term, first, count), HardState: HardState{Term: term}, Sync: true}
}

// show reads the entries (compacted, last] and returns their data, separated by spaces.
func show(t testing.TB, s *Store, group GroupID) string {
	t.Helper()
	found := mustRecover(t, s, group)
	if found.Last == found.Compacted {
		return ""
	}
	_, entries, err := s.Read(group, found.Compacted+1, found.Last+1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != int(found.Last-found.Compacted) {
		t.Fatalf("read %d entries of (%d, %d]", len(entries), found.Compacted, found.Last)
	}
	return data(t, entries)
}

func data(t testing.TB, entries []messages.EncodedEntry) string {
	t.Helper()
	var words []string
	for _, e := range entries {
		view, err := messages.DecodeEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, string(view.Data))
	}
	return strings.Join(words, " ")
}

func wantError(t testing.TB, err, kind error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("error %q does not match %q", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// tamper writes directly to the database of a closed store.
func tamper(t testing.TB, fs vfs.FS, change func(db *pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open(dataDir, &pebble.Options{FS: fs, FormatMajorVersion: formatVersion, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := change(db); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// within fails the test when work does not return soon.
func within(t testing.TB, what string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not return", what)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// reseal gives a changed block the right checksum.
func reseal(key, value []byte) { binary.BigEndian.PutUint32(value, checksum(key, value)) }

// tester is a test, or a check of a property.
type tester interface {
	Helper()
	Fatal(args ...any)
}
