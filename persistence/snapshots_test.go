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

func mustTake(t testing.TB, s *Store, group GroupID, index, term uint64, pieces ...[]byte) *messages.Snapshot {
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

func mustReadSnapshot(t testing.TB, s *Store, group GroupID, snapshot *messages.Snapshot) []byte {
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
