package persistence

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// paced gives others the processor and the disk while a memtable is flushed, which is urgent to nobody. Go's scheduler would
// not: the two goroutines of a flush wake each other, and keep a processor for ten milliseconds that a commit waits for.
type paced struct{ vfs.FS }

const (
	paceBytes = 128 << 10
	pacePause = 300 * time.Microsecond
)

// flushCategory is what Pebble calls the flush of a memtable.
const flushCategory = "pebble-memtable-flush"

func (p paced) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	if err != nil || category != flushCategory {
		return file, err
	}
	return &pacedFile{File: file}, nil
}

func (p paced) Unwrap() vfs.FS { return p.FS }

type pacedFile struct {
	vfs.File
	written int
}

func (f *pacedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if f.written += n; f.written >= paceBytes {
		f.written = 0
		time.Sleep(pacePause)
	}
	return n, err
}
