// Package backup keeps snapshots in files: it saves, inspects and restores them.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// File is a backup that is being written, under a temporary name beside its own.
type File struct {
	path string
	file *os.File
}

// Create begins a backup. A file that exists is refused. The caller calls [File.Discard] at last.
func Create(path string) (*File, error) {
	if err := isFree(path); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return &File{path, file}, nil
}

func isFree(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s exists: name another file, or remove this one first", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}

// Fill writes what comes. An error of the reader is returned as it is.
func (f *File) Fill(r io.Reader) error {
	piece := make([]byte, 64<<10)
	for {
		n, err := r.Read(piece)
		if _, err := f.file.Write(piece[:n]); err != nil {
			return fmt.Errorf("%s cannot be written: %w", f.path, err)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Keep gives the backup its name, durably, after all of it was checked.
func (f *File) Keep(ctx context.Context) (*messages.Snapshot, error) {
	if err := f.file.Sync(); err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", f.path, err)
	}
	checked, ok := wait.Result(ctx, func() (c checked) {
		c.snapshot, c.err = check(f.file.Name())
		return c
	})
	switch {
	case !ok:
		return nil, ctx.Err()
	case checked.err != nil:
		return nil, fmt.Errorf("what came is no backup, and was not kept: %w", checked.err)
	}
	if err := isFree(f.path); err != nil { // somebody may have been quicker
		return nil, err
	}
	err := os.Rename(f.file.Name(), f.path)
	if err == nil {
		err = syncFolder(filepath.Dir(f.path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", f.path, err)
	}
	return checked.snapshot, nil
}

// Discard removes what was not kept.
func (f *File) Discard() {
	_ = f.file.Close()
	_ = os.Remove(f.file.Name())
}

type checked struct {
	snapshot *messages.Snapshot
	err      error
}

func check(path string) (*messages.Snapshot, error) {
	r, err := persistence.OpenSnapshotFile(vfs.Default, path)
	if err != nil {
		return nil, err
	}
	return r.Pointer(), r.Close()
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
