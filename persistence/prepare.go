package persistence

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// prepared fills the file of a new write-ahead log with zeros before it is used. A sync within blocks that the file has is a
// third shorter than one at its growing end, more when several files are synced at a time. Pebble uses such files again and again:
// after each start the first seven or so, as they are needed, are filled: 90 to 150 MiB with the default memtables.
type prepared struct {
	vfs.FS
	bytes int
}

// walCategory is what Pebble calls its write-ahead logs.
const walCategory = "pebble-wal"

var zeros [256 << 10]byte

func (p prepared) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	if err != nil || category != walCategory {
		return file, err
	}
	for left := p.bytes; left > 0 && err == nil; left -= len(zeros) {
		_, err = file.Write(zeros[:min(left, len(zeros))])
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return p.OpenReadWrite(name, category)
}

func (p prepared) Unwrap() vfs.FS { return p.FS }
