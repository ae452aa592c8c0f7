package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// taken is a snapshot file of a machine that is not the map.
func taken(t *testing.T) (path string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	s, err := persistence.Open(dir, persistence.Options{NodeID: "n1", Cluster: "c", MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	record, err := s.Group("visits", nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.CreateSnapshot(persistence.GroupID(record.GetNumber()), &messages.SnapshotHeader{
		Group: "visits", LastIncludedIndex: 7, LastIncludedTerm: 2, Machine: "counter",
		Charter: &messages.Charter{ClusterId: 0xabc, Configuration: &messages.Configuration{
			Voters: []*messages.Member{{Id: "n1", Address: "a:1"}},
		}},
	})
	if err == nil {
		_, err = io.WriteString(w, "state")
	}
	if err == nil {
		_, err = w.Finish()
	}
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "snapshots", "1", "7-2")
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestInspect(t *testing.T) {
	path, _ := taken(t)
	info, err := Inspect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Keys != nil || info.Group != "visits" || info.Index != 7 || info.Term != 2 || info.Machine != "counter" ||
		info.ClusterID != "0000000000000abc" ||
		len(info.Members) != 1 || info.StateHash != fmt.Sprintf("%x", sha256.Sum256([]byte("state"))) {
		t.Errorf("%+v", info)
	}
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	_, content := taken(t)
	changed := func(at int) []byte {
		b := bytes.Clone(content)
		b[at] ^= 1
		return b
	}
	newer := bytes.Clone(content)
	newer[len("troupe.snapshot\n")+3] = 9
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"nothing":           {nil, "is damaged: it is too short"},
		"something else":    {[]byte("hello"), "it does not begin as a snapshot does"},
		"shortened":         {content[:len(content)-1], "it is too short"},
		"longer":            {append(bytes.Clone(content), 0), "it goes on after its end"},
		"a damaged header":  {changed(30), "the checksum of its part 0 is wrong"},
		"a damaged SHA-256": {changed(len(content) - 1), "its SHA-256 is wrong"},
		"a newer format":    {newer, "it has format 9, and this troupe knows formats up to 2"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(t.Context(), path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: inspect: %v", name, err)
		}
		r := Restore{
			Path: path, Node: cluster.Config{ID: "n1", DataDir: filepath.Join(dir, "n1")},
			Members: []actors.Member{{ID: "n1", Address: "a:1"}},
		}
		if _, err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: restore: %v", name, err)
		}
		if err := saved(t.Context(), filepath.Join(dir, "copy"), bytes.NewReader(c.content)); err == nil ||
			!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "was not kept") {
			t.Errorf("%s: save: %v", name, err)
		}
		onlyHas(t, dir, "file")
	}
}

func saved(ctx context.Context, path string, r io.Reader) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := f.Fill(r); err != nil {
		return err
	}
	_, err = f.Keep(ctx)
	return err
}

func onlyHas(t *testing.T, dir string, want ...string) {
	t.Helper()
	names := []string{}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %v, want %v: %v", dir, names, want, err)
	}
}

func TestNothingIsLeftOfWhatWasNotSaved(t *testing.T) {
	_, content := taken(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	broken := errors.New("the node died")
	if err := saved(t.Context(), path, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(content)))); err == nil {
		t.Error("a reader that fails was saved")
	}
	if err := saved(t.Context(), path, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}

	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.file.Close() // a disk that fails
	if err := f.Fill(bytes.NewReader(content)); err == nil || !strings.Contains(err.Error(), path+" cannot be written") {
		t.Error(err)
	}
	f.Discard()
	onlyHas(t, dir)

	if err := saved(t.Context(), path, bytes.NewReader(content)); err != nil {
		t.Error(err)
	}
	if err := saved(t.Context(), path, bytes.NewReader(content)); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Error(err)
	}
	onlyHas(t, dir, "file")
}
