package persistence

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAnyNodesDirectoryIsOpenedAndNoneFounded(t *testing.T) {
	disk := vfs.NewMem()
	anybody := Options{FS: disk, AnyNode: true}
	if _, err := Open(dataDir, anybody); !errors.Is(err, ErrMissing) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := disk.Stat(dataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if err := disk.MkdirAll(dataDir, privateDir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dataDir, anybody); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty directory: %v", err)
	}
	if names, err := disk.List(dataDir); err != nil || len(names) > 0 {
		t.Errorf("something was made: %v, %v", names, err)
	}

	s := mustOpen(t, disk)
	group := mustGroup(t, s, "g")
	mustWrite(t, s, write(group, 1, 1, 3))
	_, err := Open(dataDir, anybody)
	wantError(t, err, ErrLocked, "is in use")
	mustClose(t, s)

	again := mustOpenWith(t, anybody)
	if id := again.Identity(); id.NodeId != "n1" || id.Cluster != "c" || id.StoreId != 7 {
		t.Errorf("identity %v", id)
	}
	if r := mustRecover(t, again, group); r.Last != 3 {
		t.Errorf("recovered %+v", r)
	}
	mustClose(t, again)
	mustClose(t, mustOpen(t, disk)) // it is still its node's
}

func TestADirectoryWithoutItsDatabaseIsDamagedForAnybody(t *testing.T) {
	disk := vfs.NewMem()
	mustClose(t, mustOpen(t, disk))
	names, err := disk.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != sequenceName {
			if err := disk.Remove(disk.PathJoin(dataDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = Open(dataDir, Options{FS: disk, AnyNode: true})
	wantError(t, err, ErrDamaged, "the database in data")
}
