package persistence

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/troupe-raft/troupe/messages"
)

// backup is a snapshot file outside of any store.
func backup(t testing.TB, disk vfs.FS) *SnapshotReader {
	t.Helper()
	s, err := Open("other", memOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	group := mustGroup(t, s, "g")
	mustWrite(t, s, write(group, 3, 1, 9))
	snapshot := mustTake(t, s, group, 7, 3, pieces()...)
	name := s.pathOf(group, snapshot)
	if err := disk.Rename(name, "backup"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	r, err := OpenSnapshotFile(disk, "backup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

var founders = []*messages.Member{{Id: "n1", Address: "n1:1"}, {Id: "n2", Address: "n2:1"}}

func TestASeededDirectoryBeginsWithTheFile(t *testing.T) {
	for _, exists := range []bool{false, true} {
		disk := vfs.NewMem()
		file := backup(t, disk)
		dir := "a/b/" + dataDir
		if exists {
			if err := disk.MkdirAll(dir, privateDir); err != nil {
				t.Fatal(err)
			}
		}
		var copied atomic.Int64
		if err := Seed(t.Context(), dir, memOptions(disk), file, founders, &copied); err != nil {
			t.Fatal(err)
		}
		if uint64(copied.Load()) != file.Pointer().Bytes {
			t.Errorf("%d of %d bytes were counted", copied.Load(), file.Pointer().Bytes)
		}
		s, err := Open(dir, memOptions(disk))
		if err != nil {
			t.Fatal(err)
		}
		records, err := s.Groups()
		if err != nil || len(records) != 1 || records[0].Name != "g" || len(records[0].Members) != 2 {
			t.Fatalf("groups %v, %v", records, err)
		}
		r := mustRecover(t, s, 1)
		p := r.Snapshot
		if r.Last != 0 || r.HardState != (HardState{}) || p.LastIncludedIndex != 0 || p.LastIncludedTerm != 0 || p.Charter != nil ||
			p.Bytes != file.Pointer().Bytes || !bytes.Equal(p.Digest, file.Pointer().Digest) {
			t.Errorf("recovered %+v", r)
		}
		if state := mustReadSnapshot(t, s, 1, p); !bytes.Equal(state, slices.Concat(pieces()...)) {
			t.Errorf("another state of %d bytes", len(state))
		}
		mustClose(t, s)
		err = Seed(t.Context(), dir, memOptions(disk), file, founders, nil)
		wantError(t, err, err, "is not empty")
	}
}

func TestNothingIsLeftOfASeedThatFailed(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".new") && op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, snapshotsDir) {
			return syscall.ENOSPC
		}
		return nil
	})
	broken := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
			return syscall.EIO
		}
		return nil
	})
	for name, c := range map[string]struct {
		ctx    context.Context
		inject errorfs.Injector
		want   error
	}{
		"canceled":                       {canceled, nil, context.Canceled},
		"no room for the file":           {t.Context(), full, syscall.ENOSPC},
		"the database cannot be written": {t.Context(), broken, syscall.EIO},
	} {
		for _, exists := range []bool{false, true} {
			mem := vfs.NewMem()
			file := backup(t, mem)
			disk := vfs.FS(mem)
			if c.inject != nil {
				disk = errorfs.Wrap(mem, c.inject)
			}
			if exists {
				if err := mem.MkdirAll("a/b/data", privateDir); err != nil {
					t.Fatal(err)
				}
			}
			if err := Seed(c.ctx, "a/b/data", memOptions(disk), file, founders, nil); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			names, err := mem.List("a/b/data")
			if exists && (err != nil || len(names) > 0) {
				t.Errorf("%s: left in the directory: %v, %v", name, names, err)
			}
			if _, err := mem.Stat("a"); !exists && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: a directory is left: %v", name, err)
			}
		}
	}
}

func TestAStoreThatIsOpenIsNotSeeded(t *testing.T) {
	disk := vfs.NewMem()
	file := backup(t, disk)
	s := mustOpen(t, disk)
	group := mustGroup(t, s, "g")
	err := Seed(t.Context(), dataDir, memOptions(disk), file, founders, nil)
	wantError(t, err, err, "is not empty")
	mustWrite(t, s, write(group, 1, 1, 3))
}

// A Seed that is killed, or whose machine loses power, at whatever call, leaves a directory in which no node begins, and which the next
// Seed makes anew; or nothing. When it has returned, all is there.
func TestASeedThatWasKilledIsBegunAnew(t *testing.T) {
	file := backup(t, vfs.NewMem())
	for at, whole := int32(1), false; !whole; at++ {
		var disk *vfs.MemFS
		disk, whole = killedSeed(t, file, at)
		for draw, unsynced := range []int{100, 75, 50, 0} { // killed is 100
			left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRand(uint64(draw))})
			s, err := Open(seededDir, Options{FS: left, AnyNode: true})
			if err != nil {
				if whole {
					t.Fatalf("not there, though it was done, with %d %% of what was not synced: %v", unsynced, err)
				}
				if err := Seed(t.Context(), seededDir, memOptions(left), file, founders, nil); err != nil {
					t.Fatalf("killed at call %d, with %d %% of what was not synced: %v", at, unsynced, err)
				}
				if s, err = Open(seededDir, memOptions(left)); err != nil {
					t.Fatal(err)
				}
			}
			if mustRecover(t, s, 1).Snapshot == nil {
				t.Fatalf("killed at call %d, with %d %% of what was not synced: the directory is opened, and empty", at, unsynced)
			}
			mustClose(t, s)
		}
	}
}

const seededDir = "a/b/data"

// killedAt is a file system whose user is killed at a mutating call: that and later ones never return.
func killedAt(t *testing.T, disk *vfs.MemFS, at int32) (parking vfs.FS, killed context.Context) {
	var calls atomic.Int32
	killed, kill := context.WithCancel(t.Context())
	t.Cleanup(kill)
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && calls.Add(1) >= at {
			kill()
			park()
		}
		return nil
	})), killed
}

// killedSeed is the disk of a Seed that was killed at a call; whole says that it had ended before.
func killedSeed(t *testing.T, file *SnapshotReader, at int32) (disk *vfs.MemFS, whole bool) {
	disk = vfs.NewCrashableMem()
	parking, killed := killedAt(t, disk, at)
	done := make(chan error, 1)
	go func() { done <- Seed(t.Context(), seededDir, memOptions(parking), file, founders, nil) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
		return disk, true
	case <-killed.Done():
		return disk, false
	}
}
