package persistence

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// paced gives others the processor and the disk while a memtable is flushed. Go's scheduler would not: the two goroutines of a
// flush wake each other, and keep a processor for ten milliseconds that a write waits for.
//
// A flush is urgent when the next memtable is full before it has ended, and when the store is being opened: it does not pause then.
type paced struct {
	vfs.FS
	// logs counts write-ahead logs: a memtable that is full makes a new one necessary, before it is flushed.
	logs atomic.Int64
}

const (
	paceBytes = 128 << 10
	pacePause = 300 * time.Microsecond // more, when the process has nothing else to do
)

// flushCategory is what Pebble calls the flush of a memtable.
const flushCategory = "pebble-memtable-flush"

func (p *paced) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	switch {
	case err != nil:
		return nil, err
	case category == walCategory:
		p.logs.Add(1)
	case category == flushCategory && p.logs.Load() > 0:
		return &pacedFile{File: file, fs: p, logs: p.logs.Load()}, nil
	}
	return file, nil
}

func (p *paced) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == walCategory {
		p.logs.Add(1)
	}
	return p.FS.ReuseForWrite(oldName, newName, category)
}

func (p *paced) Unwrap() vfs.FS { return p.FS }

type pacedFile struct {
	vfs.File
	fs      *paced
	logs    int64 // when the flush began
	written int
}

func (f *pacedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if f.written += n; f.written >= paceBytes {
		f.written = 0
		if f.fs.logs.Load() == f.logs {
			time.Sleep(pacePause)
		}
	}
	return n, err
}
