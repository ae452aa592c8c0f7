//go:build unix

package persistence

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whatever the umask is, and whatever happens to the store, nobody but its owner can read it.
func TestOnlyTheOwnerReads(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	options := Options{NodeID: "n1", Cluster: "c", MemTableSize: 256 << 10}
	parent := filepath.Join(t.TempDir(), "parent")
	dir := filepath.Join(parent, "n1")
	s := openDir(t, dir, options)
	group := mustGroup(t, s, "g")
	for index := uint64(1); index < 3000; index += 100 { // several logs and tables
		mustWrite(t, s, write(group, 1, index, 100))
	}
	modesAre(t, dir)
	mustClose(t, s)
	s = openDir(t, dir, options)
	modesAre(t, dir)
	if _, err := Open(dir, options); err == nil {
		t.Error("a directory in use is opened")
	}
	mustClose(t, s)
	s = openDir(t, dir, options)
	mustWrite(t, s, point(group, mustTake(t, s, group, 9, 1, []byte("state")), HardState{Term: 1}))
	mustClose(t, s)
	snapshots := filepath.Join(dir, snapshotsDir)
	if info, err := os.Stat(filepath.Join(snapshots, "1", "9-1")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the snapshot: %v, %v", info, err)
	}
	for _, d := range []string{parent, dir, snapshots, filepath.Join(snapshots, "1")} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
}

// A directory that exists keeps its mode; the files that an older troupe left in it become private.
func TestDirectoryOfTheOperator(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := Options{NodeID: "n1", Cluster: "c", MemTableSize: 256 << 10}
	mustClose(t, openDir(t, dir, options))
	eachFile(t, dir, func(path string, _ fs.FileMode) {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	notes := filepath.Join(t.TempDir(), "notes") // not the store's: it keeps its mode
	err := errors.Join(os.WriteFile(notes, nil, 0o644), os.Chmod(notes, 0o644), os.Link(notes, filepath.Join(dir, "notes")))
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, openDir(t, dir, options))
	if info, err := os.Stat(notes); err != nil || info.Mode().Perm() != 0o644 || os.Remove(filepath.Join(dir, "notes")) != nil {
		t.Errorf("a file that is not the store's: %v, %v", info.Mode(), err)
	}
	modesAre(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the operator's directory: %v, %v", info.Mode(), err)
	}
}

func openDir(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func modesAre(t *testing.T, dir string) {
	t.Helper()
	files := 0
	eachFile(t, dir, func(path string, mode fs.FileMode) {
		if files++; mode.Perm() != 0o600 {
			t.Errorf("%s has the mode %v", path, mode)
		}
	})
	if files < 5 {
		t.Errorf("%s has %d files", dir, files)
	}
}

func eachFile(t *testing.T, dir string, do func(string, fs.FileMode)) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil { // a table may be gone by now
			do(filepath.Join(dir, f.Name()), info.Mode())
		}
	}
}
