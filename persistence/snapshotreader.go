package persistence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
)

// SnapshotReader reads a snapshot file. Read belongs to one goroutine, ReadAt may be called beside it.
type SnapshotReader struct {
	file    vfs.File
	name    string
	pointer *messages.Snapshot
	parser  snapshotParser

	buffer  []byte // what was read and not parsed
	memory  []byte // where buffer lies
	offset  int64  // in the file, of what was not read
	pending []byte // the rest of a piece
	err     error
}

// openSnapshot opens the file, and reads its header. Without a pointer it is any file.
func openSnapshot(fs vfs.FS, name string, pointer *messages.Snapshot) (*SnapshotReader, error) {
	file, err := fs.Open(name)
	if err != nil {
		return nil, sayOf(nil, err, "the snapshot %s cannot be opened", name)
	}
	r := &SnapshotReader{file: file, name: name, pointer: pointer}
	if err := r.begin(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return r, nil
}

func (r *SnapshotReader) begin() error {
	info, err := r.file.Stat()
	if err != nil {
		return sayOf(nil, err, "the snapshot %s cannot be read", r.name)
	}
	if r.pointer == nil {
		r.pointer = &messages.Snapshot{Bytes: uint64(info.Size())}
	} else if uint64(info.Size()) != r.pointer.Bytes {
		return say(ErrDamaged, "the snapshot %s is damaged: it has %d bytes, not %d", r.name, info.Size(), r.pointer.Bytes)
	}
	r.memory = make([]byte, maxPiece+frameHead)
	if err := r.rewind(); err != nil {
		return err
	}
	if err := r.parser.fits(r.pointer); err != nil {
		return r.damaged(err)
	}
	return nil
}

// Size is how many bytes the file has: somewhat more than the state.
func (r *SnapshotReader) Size() int64 { return int64(r.pointer.Bytes) }

// rewind goes to the begin of the state.
func (r *SnapshotReader) rewind() error {
	r.parser = snapshotParser{digest: sha256.New()}
	r.buffer, r.pending, r.offset, r.err = nil, nil, 0, nil
	for r.parser.header == nil {
		if _, err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *SnapshotReader) damaged(err error) error {
	if errors.Is(err, ErrNewer) {
		return sayOf(ErrNewer, err, "the snapshot %s cannot be read", r.name)
	}
	return sayOf(ErrDamaged, err, "the snapshot %s is damaged", r.name)
}

// step takes the next part off the file, and returns the piece of the state that it holds. io.EOF: all is as it should be.
func (r *SnapshotReader) step() ([]byte, error) {
	for {
		length, piece, err := r.parser.next(r.buffer)
		if err != nil {
			return nil, r.damaged(err)
		}
		r.buffer = r.buffer[length:]
		if length > 0 {
			return piece, nil
		}
		switch err := r.fill(); {
		case err == io.EOF && r.parser.sum != nil:
			return nil, r.end()
		case err == io.EOF:
			return nil, r.damaged(errors.New("it is too short"))
		case err != nil:
			return nil, sayOf(nil, err, "the snapshot %s cannot be read", r.name)
		}
	}
}

// fill reads more of the file.
func (r *SnapshotReader) fill() error {
	if len(r.buffer) == len(r.memory) { // a long header
		r.memory = make([]byte, maxSnapshotHeader+frameHead)
	}
	kept := copy(r.memory, r.buffer)
	n, err := r.file.ReadAt(r.memory[kept:], r.offset)
	r.buffer = r.memory[:kept+n]
	r.offset += int64(n)
	if n > 0 {
		return nil
	}
	return err
}

// end checks what can be checked only when all was read.
func (r *SnapshotReader) end() error {
	if r.pointer.Digest != nil && !bytes.Equal(r.pointer.Digest, r.parser.sum) {
		return r.damaged(errors.New("it is another snapshot: its SHA-256 is not the one that was noted"))
	}
	return io.EOF
}

// Header is the file's header. The caller must not change it.
func (r *SnapshotReader) Header() *messages.SnapshotHeader { return r.parser.header }

// Pointer says what file it is. The caller must not change it.
func (r *SnapshotReader) Pointer() *messages.Snapshot { return r.pointer }

// Read gives the state's bytes, each checked. At the end, the file's length and SHA-256 are checked: if they do not fit, it gives an
// error that matches ErrDamaged in place of io.EOF.
func (r *SnapshotReader) Read(p []byte) (int, error) {
	for len(r.pending) == 0 && r.err == nil {
		r.pending, r.err = r.step()
	}
	if len(r.pending) == 0 {
		return 0, r.err
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// ReadAt gives the file's bytes as they are, unchecked: another node checks them.
func (r *SnapshotReader) ReadAt(p []byte, offset int64) (int, error) { return r.file.ReadAt(p, offset) }

// Close closes the file.
func (r *SnapshotReader) Close() error { return r.file.Close() }

// verify reads the whole file.
func (r *SnapshotReader) verify() error {
	for {
		if _, err := r.step(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// OpenSnapshotFile opens any snapshot file, such as a backup, and checks all of it first. A file that is not as it was written is an
// error that matches ErrDamaged, one of a newer format one that matches ErrNewer. The caller closes the reader.
func OpenSnapshotFile(fs vfs.FS, path string) (*SnapshotReader, error) {
	r, err := openSnapshot(fs, path, nil)
	if err != nil {
		return nil, err
	}
	err = r.verify()
	if err == nil {
		h := r.parser.header
		r.pointer.LastIncludedIndex, r.pointer.LastIncludedTerm, r.pointer.Charter = h.LastIncludedIndex, h.LastIncludedTerm, h.Charter
		r.pointer.Digest = r.parser.sum
		err = r.rewind()
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}
