package persistence

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

func header(index, term uint64) *messages.SnapshotHeader {
	return &messages.SnapshotHeader{
		Group: "g", LastIncludedIndex: index, LastIncludedTerm: term, Machine: "m",
		Charter: &messages.Charter{Index: 1, ClusterId: 77, Level: 2, Configuration: &messages.Configuration{
			Index: 1, Voters: []*messages.Member{{Id: "n1", Address: "n1:1", StoreId: 7}},
		}},
	}
}

// pieces are three pieces of a state: a large one, one of one byte, and one between.
func pieces() [][]byte {
	return [][]byte{bytes.Repeat([]byte("large "), maxPiece/6), {1}, bytes.Repeat([]byte("between"), 100)}
}

func mustTake(t tester, s *Store, group GroupID, index, term uint64, pieces ...[]byte) *messages.Snapshot {
	t.Helper()
	snapshot, err := take(s, group, index, term, pieces...)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func take(s *Store, group GroupID, index, term uint64, pieces ...[]byte) (*messages.Snapshot, error) {
	w, err := s.CreateSnapshot(group, header(index, term))
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return nil, err
		}
	}
	return w.Finish()
}

// point is a batch that makes the snapshot the group's, and cuts the log there.
func point(group GroupID, snapshot *messages.Snapshot, hard HardState) *Batch {
	return &Batch{
		Group: group, Snapshot: snapshot, CutTo: snapshot.LastIncludedIndex, CutTerm: snapshot.LastIncludedTerm,
		HardState: hard, Sync: true,
	}
}

func mustReadSnapshot(t tester, s *Store, group GroupID, snapshot *messages.Snapshot) []byte {
	t.Helper()
	r, err := s.OpenSnapshot(group, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return state
}

// rawSnapshot is the whole file.
func rawSnapshot(t testing.TB, s *Store, group GroupID, snapshot *messages.Snapshot) []byte {
	t.Helper()
	r, err := s.OpenSnapshot(group, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	raw := make([]byte, snapshot.Bytes)
	if n, err := r.ReadAt(raw, 0); n != len(raw) {
		t.Fatal(n, err)
	}
	return raw
}

func receive(s *Store, group GroupID, snapshot *messages.Snapshot, raw []byte, chunk int) (*messages.Snapshot, error) {
	r, err := s.ReceiveSnapshot(group, snapshot)
	if err != nil {
		return nil, err
	}
	defer r.Abort()
	for part := range slices.Chunk(raw, chunk) {
		if _, err := r.Write(part); err != nil {
			return nil, err
		}
	}
	return r.Finish()
}

// snapshotFiles are the names below snapshots/, with their folders.
func snapshotFiles(t testing.TB, disk vfs.FS) (names []string) {
	t.Helper()
	root := disk.PathJoin(dataDir, snapshotsDir)
	folders, err := disk.List(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, folder := range folders {
		files, err := disk.List(disk.PathJoin(root, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			names = append(names, folder+"/"+file)
		}
	}
	slices.Sort(names)
	return names
}

func TestASnapshotIsTakenSentAndRead(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	g, other := mustGroup(t, s, "g"), mustGroup(t, s, "other")
	mustWrite(t, s, write(g, 1, 1, 10), write(g, 2, 11, 10))
	snapshot := mustTake(t, s, g, 12, 2, pieces()...)
	if s.Identity().Format != 1 {
		t.Error("a file without a pointer raised the format")
	}
	mustWrite(t, s, point(g, snapshot, HardState{Term: 2}))
	raw := rawSnapshot(t, s, g, snapshot)
	for _, chunk := range []int{7, 1000, 1 << 20} {
		sent := &messages.Snapshot{LastIncludedIndex: 12, LastIncludedTerm: 2, Bytes: snapshot.Bytes, Digest: snapshot.Digest}
		received, err := receive(s, other, sent, raw, chunk)
		if err != nil || !proto.Equal(received, snapshot) {
			t.Fatalf("received %v, %v", received, err)
		}
	}
	begin, err := receive(s, other, &messages.Snapshot{Bytes: snapshot.Bytes, Digest: snapshot.Digest}, raw, 4096)
	if err != nil || begin.Charter != nil || begin.LastIncludedIndex != 0 {
		t.Fatalf("received %v, %v", begin, err)
	}
	mustWrite(t, s, &Batch{Group: other, Snapshot: begin, Sync: true})
	mustClose(t, s)

	s = mustOpen(t, mem)
	if s.Identity().Format != 2 {
		t.Errorf("format %d", s.Identity().Format)
	}
	found := mustRecover(t, s, g)
	if !proto.Equal(found.Snapshot, snapshot) || found.Compacted != 12 || found.CompactedTerm != 2 || found.Last != 20 {
		t.Errorf("recovered %+v", found)
	}
	if found := mustRecover(t, s, other); !proto.Equal(found.Snapshot, begin) {
		t.Errorf("recovered %+v", found)
	}
	want := slices.Concat(pieces()...)
	if !bytes.Equal(mustReadSnapshot(t, s, g, snapshot), want) || !bytes.Equal(mustReadSnapshot(t, s, other, begin), want) {
		t.Error("another state is read")
	}
	file, err := OpenSnapshotFile(mem, s.pathOf(g, snapshot))
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(state, want) || !proto.Equal(file.Pointer(), snapshot) || file.Header().Machine != "m" {
		t.Errorf("the file is read as %v, %v", file.Pointer(), err)
	}
	_ = file.Close()
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/12-2", "2/0-0"}) {
		t.Errorf("files %v", got)
	}
}

// Opening removes what no pointer names, and nothing that is not a snapshot's.
func TestLeftoversAreRemoved(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 20))
	mustTake(t, s, g, 3, 1, []byte("never pointed to"))
	first := mustTake(t, s, g, 4, 1, []byte("first"))
	mustWrite(t, s, point(g, first, HardState{Term: 1}))
	second := mustTake(t, s, g, 9, 1, []byte("second"))
	mustWrite(t, s, point(g, second, HardState{Term: 1}))
	if w, err := s.CreateSnapshot(g, header(12, 1)); err != nil {
		t.Fatal(err)
	} else if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	for _, name := range []string{"snapshots/7/5-1", "snapshots/1/notes", "snapshots/notes/5-1", "notes"} {
		path := mem.PathJoin(dataDir, name)
		if err := mem.MkdirAll(mem.PathDir(path), privateDir); err != nil {
			t.Fatal(err)
		}
		store(t, mem, name, []byte("x"))
	}
	s = mustOpen(t, mem)
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/9-1", "1/notes", "notes/5-1"}) {
		t.Errorf("files %v", got)
	}
	if _, err := mem.Stat(mem.PathJoin(dataDir, "snapshots/7")); err == nil {
		t.Error("the folder of an unknown group is still there")
	}
	if _, err := mem.Stat(mem.PathJoin(dataDir, "notes")); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
}

// RemoveSnapshots leaves what is pointed to, what is being written, and what is newer; an open file can still be read.
func TestOldSnapshotsAreRemoved(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, mem)
	g := mustGroup(t, s, "g")
	mustWrite(t, s, write(g, 1, 1, 20))
	mustTake(t, s, g, 3, 1, []byte("never pointed to"))
	first := mustTake(t, s, g, 4, 1, pieces()...)
	mustWrite(t, s, point(g, first, HardState{Term: 1}))
	r, err := s.OpenSnapshot(g, first)
	if err != nil {
		t.Fatal(err)
	}
	second := mustTake(t, s, g, 9, 1, []byte("second"))
	mustWrite(t, s, point(g, second, HardState{Term: 1}))
	mustTake(t, s, g, 15, 1, []byte("may be pointed to"))
	w, err := s.CreateSnapshot(g, header(12, 1))
	if err != nil {
		t.Fatal(err)
	}
	s.RemoveSnapshots(g, second)
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/12-1.5.new", "1/15-1", "1/9-1"}) {
		t.Errorf("files %v", got)
	}
	state, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(state, slices.Concat(pieces()...)) {
		t.Errorf("a file that was removed is read as %d bytes, %v", len(state), err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	w.Abort() // does nothing any more
	s.RemoveSnapshots(g, nil)
	if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/9-1"}) {
		t.Errorf("files %v", got)
	}
	mustClose(t, s)
}

// A store that is closed, or failed, leaves its directory alone.
func TestASnapshotAfterTheStore(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Store){
		"closed": func(t *testing.T, s *Store) { mustClose(t, s) },
		"failed": die,
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			s := mustOpen(t, mem)
			g := mustGroup(t, s, "g")
			w, err := s.CreateSnapshot(g, header(5, 1))
			if err != nil {
				t.Fatal(err)
			}
			end(t, s)
			if _, err := w.Finish(); err == nil {
				t.Error("a snapshot was finished")
			}
			w.Abort()
			s.RemoveSnapshots(g, nil)
			if got := snapshotFiles(t, mem); !slices.Equal(got, []string{"1/5-1.1.new"}) {
				t.Errorf("files %v", got)
			}
			if _, err := s.CreateSnapshot(g, header(5, 1)); err == nil {
				t.Error("a snapshot was begun")
			}
		})
	}
}

// A batch whose snapshot could not be opened again, or does not fit the log, is refused.
func TestWriteRefusesAPointerThatDoesNotFit(t *testing.T) {
	for says, batch := range map[string]func(*Store, GroupID, *messages.Snapshot) *Batch{
		"the file of its snapshot at entry 6 was not finished": func(_ *Store, g GroupID, p *messages.Snapshot) *Batch {
			p.LastIncludedIndex = 6
			return &Batch{Group: g, Snapshot: p}
		},
		"its snapshot ends at entry 30, and its log has entries 5 to 20": func(s *Store, g GroupID, _ *messages.Snapshot) *Batch {
			return &Batch{Group: g, Snapshot: mustTake(t, s, g, 30, 1), HardState: HardState{Term: 1}}
		},
		"its snapshot ends at entry 4, and its log has entries 9 to 20": func(_ *Store, g GroupID, _ *messages.Snapshot) *Batch {
			return &Batch{Group: g, CutTo: 8, CutTerm: 1, HardState: HardState{Term: 1}}
		},
		"its snapshot ends at entry 8": func(s *Store, g GroupID, _ *messages.Snapshot) *Batch {
			b := write(g, 1, 7, 9)
			b.Snapshot = mustTake(t, s, g, 8, 1)
			return b
		},
		"the log was cut up to 4, and cannot begin at 2 again": func(_ *Store, g GroupID, _ *messages.Snapshot) *Batch {
			return &Batch{Group: g, CutTo: 2, Reset: true}
		},
	} {
		t.Run(says, func(t *testing.T) {
			mem := vfs.NewMem()
			s := mustOpen(t, mem)
			g := mustGroup(t, s, "g")
			mustWrite(t, s, write(g, 1, 1, 20))
			first := mustTake(t, s, g, 4, 1, []byte("first"))
			mustWrite(t, s, point(g, first, HardState{Term: 1}))
			wantError(t, s.Write([]*Batch{batch(s, g, proto.CloneOf(first))}), ErrFailed, says)
			_ = s.Close()
			s = mustOpen(t, mem)
			if found := mustRecover(t, s, g); found.Compacted != 4 || found.Last != 20 || !proto.Equal(found.Snapshot, first) {
				t.Errorf("%+v", found)
			}
			mustClose(t, s)
		})
	}
}
