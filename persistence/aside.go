package persistence

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// aside is the file system while the store is being opened. It syncs two things beside the opening, since they need only be durable
// before the store promises anything: the data directory's own name, and the side file as the last run left it. It stands before the
// fence: the opening does not succeed when one of these syncs fails.
type aside struct {
	*fence
	dir     string
	pending sync.WaitGroup
}

// Lock begins to sync the side file once nobody else writes it.
func (a *aside) Lock(name string) (io.Closer, error) {
	lock, err := a.fence.Lock(name)
	if err == nil {
		a.pending.Go(a.syncSide)
	}
	return lock, err
}

func (a *aside) syncSide() {
	name := a.PathJoin(a.dir, sequenceName)
	if _, err := a.Stat(name); err != nil {
		return // a new directory; any other error shows when the file is read
	}
	if file, err := a.OpenReadWrite(name, vfs.WriteCategoryUnspecified); err == nil {
		_ = file.SyncData() // returns only if it succeeded
		_ = file.Close()
	}
}

// OpenDir lets the directory above, which Pebble syncs at each start, be synced aside.
func (a *aside) OpenDir(name string) (vfs.File, error) {
	dir, err := a.fence.OpenDir(name)
	if err == nil && name == a.PathDir(a.dir) {
		dir = &asideDir{File: dir, pending: &a.pending}
	}
	return dir, err
}

type asideDir struct {
	vfs.File
	pending *sync.WaitGroup
	synced  sync.WaitGroup
}

func (d *asideDir) Sync() error {
	d.synced.Add(1)
	d.pending.Go(func() {
		defer d.synced.Done()
		_ = d.File.Sync() // returns only if it succeeded
	})
	return nil
}

func (d *asideDir) Close() error {
	d.pending.Go(func() {
		d.synced.Wait()
		_ = d.File.Close()
	})
	return nil
}
