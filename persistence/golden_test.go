package persistence

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden directory of the present store format, if there is none")

const goldenDir = "testdata/golden/format-%d"

// A directory that any format's version wrote is read by every later one. A directory is written once, with -write-golden, and never
// changed; beside it is what is in it.
func TestGoldenDirectoriesAreRead(t *testing.T) {
	present := fmt.Sprintf(goldenDir, newestFormat)
	if *writeGolden {
		writeGoldenDir(t, present)
	}
	dirs, err := filepath.Glob("testdata/golden/format-*.txt")
	if err != nil || len(dirs) != newestFormat {
		t.Fatalf("%d directories for %d formats (%v): make the new one with -write-golden", len(dirs), newestFormat, err)
	}
	for _, text := range dirs {
		want, err := os.ReadFile(text)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(text[:len(text)-len(".txt")])); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, goldenOptions())
		if err != nil {
			t.Fatal(err)
		}
		if got := dump(t, s); got != string(want) {
			t.Errorf("%s is read as\n%s\nnot as\n%s", text, got, want)
		}
		mustWrite(t, s, write(1, 9, 41, 3))
		mustClose(t, s)
	}
}

func goldenOptions() Options {
	return Options{FS: private{vfs.Default}, NodeID: "n1", Cluster: "golden", StoreID: 11, MemTableSize: 64 << 10, SequenceInterval: -1}
}

// writeGoldenDir has all kinds of records and entries, in tables and in the log.
func writeGoldenDir(t *testing.T, dir string) {
	if _, err := os.Stat(dir); err == nil {
		return
	}
	s, err := Open(dir, goldenOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if _, err := s.Group(name, []*messages.Member{{Id: "n1", Address: "n1:1"}, {Id: "n2", Address: "n2:1"}}); err != nil {
			t.Fatal(err)
		}
	}
	members := []*messages.Member{{Id: "n1", Address: "n1:1", StoreId: 11}, {Id: "n2", Address: "n2:1", StoreId: 12}}
	mustWrite(t, s, &Batch{
		Group: 1, First: 1, Entries: []messages.EncodedEntry{
			goldenEntry(t, messages.Entry_KIND_FOUNDING, &messages.Founding{
				ClusterId: 77, Configuration: &messages.Configuration{Index: 1, Voters: members}, Level: 1,
			}),
			goldenEntry(t, messages.Entry_KIND_NOOP, nil),
			goldenEntry(t, messages.Entry_KIND_LEVEL, &messages.FeatureLevel{Level: 1}),
			messages.EncodeEntry(1, messages.Entry_KIND_COMMAND, []byte("a command")),
		}, HardState: HardState{Term: 1, Vote: "n2", ClusterID: 77},
		PinnedPeers: map[string]uint64{"n2": 12}, Sync: true,
	})
	mustWrite(t, s, write(1, 2, 5, 26))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, write(1, 3, 21, 20)) // over some of what is in the table
	mustWrite(t, s, write(2, 1, 1, 9))
	mustWrite(t, s, &Batch{Group: 2, CutTo: 4, CutTerm: 1, HardState: HardState{Term: 3, Commit: 5}, Sync: true})
	hard := HardState{Term: 4, Vote: "n2", Commit: 7, ClusterID: 77}
	mustWrite(t, s, point(1, mustTake(t, s, 1, 7, 2, []byte("the first piece"), []byte(" and the second")), hard))
	content := dump(t, s)
	mustClose(t, s)
	if err := os.WriteFile(dir+".txt", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func goldenEntry(t *testing.T, kind messages.Entry_Kind, m proto.Message) messages.EncodedEntry {
	t.Helper()
	var data []byte
	if m != nil {
		var err error
		if data, err = (proto.MarshalOptions{Deterministic: true}).Marshal(m); err != nil {
			t.Fatal(err)
		}
	}
	return messages.EncodeEntry(1, kind, data)
}

// dump is all that is in a store, in readable form.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	records, err := s.Groups()
	if err != nil {
		t.Fatal(err)
	}
	id := s.Identity()
	text := fmt.Sprintf("format %d, node %s, store %d, cluster %s\n", id.Format, id.NodeId, id.StoreId, id.Cluster)
	for _, r := range records {
		text += fmt.Sprintf("group %d %s:", r.Number, r.Name)
		for _, m := range r.Members {
			text += fmt.Sprintf(" %s=%s", m.Id, m.Address)
		}
		found := mustRecover(t, s, GroupID(r.Number))
		if p := found.Snapshot; p != nil {
			text += fmt.Sprintf("\n  snapshot at %d@%d of cluster %d, %d bytes, SHA-256 %x: %q", p.LastIncludedIndex, p.LastIncludedTerm,
				p.Charter.GetClusterId(), p.Bytes, p.Digest, mustReadSnapshot(t, s, GroupID(r.Number), p))
		}
		h := found.HardState
		text += fmt.Sprintf("\n  {Term:%d Vote:%s Commit:%d ClusterID:%d}, cut at %d@%d, last %d, spans %v, pins %v\n",
			h.Term, h.Vote, h.Commit, h.ClusterID, found.Compacted, found.CompactedTerm, found.Last, found.Spans, found.PeerStores)
		for _, a := range found.Amendments {
			text += fmt.Sprintf("  amended at %d\n", a.Index)
		}
		_, entries, err := s.Read(GroupID(r.Number), found.Compacted+1, found.Last+1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i, encoded := range entries {
			e, err := messages.DecodeEntry(encoded)
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintf("  %d@%d kind %d %q\n", found.Compacted+1+uint64(i), e.Term, e.Kind, e.Data)
		}
	}
	return text
}
