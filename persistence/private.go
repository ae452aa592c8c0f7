package persistence

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Only the owner of a node's files may read them.
const (
	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// private keeps other users of the machine from the files. A directory that exists stays as its owner made it.
type private struct{ vfs.FS }

func (p private) Unwrap() vfs.FS { return p.FS }

// ours matches the names of files that a store makes. Other files are left alone: the directory may have been named by mistake.
var ours = regexp.MustCompile(
	`^(\d{6,}\.(log|sst|blob|dbtmp)|(MANIFEST|OPTIONS)-\d+|LOCK|CURRENT.*|marker\..+|SEQUENCE|SPARE(\.new)?|USED|RESTORING)$`)

// MkdirAll also makes the store's files in the directory private: an older troupe let everybody read them.
func (p private) MkdirAll(dir string, _ fs.FileMode) error {
	if err := p.FS.MkdirAll(dir, privateDir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	for _, file := range files {
		if !ours.MatchString(file.Name()) {
			continue
		}
		if info, err := file.Info(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&^privateFile != 0 {
			_ = os.Chmod(filepath.Join(dir, file.Name()), privateFile) // fails for another owner's files
		}
	}
	return err
}

// Create makes the file itself, so that at no time anybody else can open it.
func (p private) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return p.OpenReadWrite(name, category)
}

func (p private) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := provide(name); err != nil {
		return nil, err
	}
	return p.FS.OpenReadWrite(name, category, opts...)
}

func (p private) Lock(name string) (io.Closer, error) {
	if err := provide(name); err != nil {
		return nil, err
	}
	return p.FS.Lock(name)
}

// provide makes an empty file if there is none. One that exists is not even opened: closing it would give up a lock on it.
func provide(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateFile)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}
