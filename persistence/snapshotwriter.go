package persistence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// snapshotBytesPerSync is how much of a snapshot is handed to the disk at a time. All at once, at the end, would hold up the write-ahead
// log.
const snapshotBytesPerSync = 1 << 20

// draft is a snapshot file that is being written, under a temporary name. It belongs to one goroutine.
type draft struct {
	store      *Store
	group      GroupID
	file       vfs.File
	name, temp string
	bytes      uint64
	err        error // of a call that failed: nothing more is written
	done       bool
}

// begin creates the file for a snapshot of this index and term.
func (s *Store) begin(group GroupID, index, term uint64) (*draft, error) {
	if err := s.holdFiles(); err != nil {
		return nil, err
	}
	defer s.releaseFiles()
	if !s.hasGroup(group) {
		return nil, say(ErrMissing, "there is no group with number %d in %s", group, s.dir)
	}
	if err := s.snapshots.isNews(group, index); err != nil {
		return nil, err
	}
	if err := s.makeSnapshotFolder(group); err != nil {
		return nil, s.cannotKeep(group, err)
	}
	d := &draft{store: s, group: group, name: s.snapshotPath(group, index, term)}
	var err error
	if d.temp, err = s.snapshots.newTemporary(d.name); err != nil {
		return nil, err
	}
	file, err := s.options.FS.Create(d.temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		s.snapshots.written(d.temp)
		return nil, s.cannotKeep(group, err)
	}
	d.file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: snapshotBytesPerSync, NoSyncOnClose: true})
	return d, nil
}

// cannotKeep is the error of a snapshot that failed, and of nothing else.
func (s *Store) cannotKeep(group GroupID, err error) error {
	return sayOf(nil, err, "a snapshot of group %d cannot be kept in %s: see to the disk, a later one may succeed", group, s.dir)
}

func (d *draft) write(b []byte) error {
	if d.done {
		return errors.New("the snapshot was finished or aborted")
	}
	if d.err != nil {
		return d.err
	}
	n, err := d.file.Write(b)
	d.bytes += uint64(n)
	if err != nil {
		d.err = d.store.cannotKeep(d.group, err)
	}
	return d.err
}

// keep makes the file durable and gives it its name. When it fails the file is removed.
func (d *draft) keep(snapshot *messages.Snapshot) error {
	if d.done {
		return errors.New("the snapshot was finished or aborted")
	}
	if err := d.store.holdFiles(); err != nil {
		d.abort()
		return err
	}
	defer d.store.releaseFiles()
	if d.err == nil {
		if d.err = d.store.snapshots.isNews(d.group, snapshot.LastIncludedIndex); d.err == nil {
			d.err = d.settle()
		}
	}
	if d.err != nil {
		d.abort()
		return d.err
	}
	d.done = true
	d.store.snapshots.written(d.temp)
	return nil
}

func (d *draft) settle() error {
	disk := d.store.options.FS
	err := d.file.Sync()
	if closeErr := d.file.Close(); err == nil {
		err = closeErr
	}
	d.file = nil
	if err == nil {
		err = disk.Rename(d.temp, d.name)
	}
	if err != nil {
		return d.store.cannotKeep(d.group, err)
	}
	if err := syncDir(disk, disk.PathDir(d.name)); err != nil {
		_ = disk.Remove(d.name)
		return d.store.cannotKeep(d.group, err)
	}
	return nil
}

// abort removes the file, unless the directory may be another Store's by now: that one removes it when it opens.
func (d *draft) abort() {
	if d.done {
		return
	}
	d.done = true
	if d.file != nil {
		_ = d.file.Close()
	}
	if d.store.holdFiles() != nil {
		return
	}
	defer d.store.releaseFiles()
	if err := d.store.options.FS.Remove(d.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.store.log.Warn("the file of a snapshot that failed was not removed", "file", d.temp, "error", err)
	}
	d.store.snapshots.written(d.temp)
}

// SnapshotWriter writes the file of a snapshot that this node takes. It belongs to one goroutine, which calls Finish or Abort. Its
// errors are the snapshot's alone: the Store goes on.
type SnapshotWriter struct {
	draft  *draft
	digest hash.Hash
	header *messages.SnapshotHeader
	frames uint64
	state  uint64
	buffer []byte
}

// CreateSnapshot begins the file of a snapshot that this node takes. The header's format is the Store's business. A snapshot that is
// not newer than the group's is refused.
func (s *Store) CreateSnapshot(group GroupID, header *messages.SnapshotHeader) (*SnapshotWriter, error) {
	header = proto.CloneOf(header)
	header.Format = formatOf(header)
	content, err := proto.Marshal(header)
	if err != nil {
		return nil, err
	}
	if len(content) > maxSnapshotHeader {
		return nil, say(nil, "the header of a snapshot of group %d has %d bytes, more than %d", group, len(content), maxSnapshotHeader)
	}
	d, err := s.begin(group, header.LastIncludedIndex, header.LastIncludedTerm)
	if err != nil {
		return nil, err
	}
	w := &SnapshotWriter{draft: d, digest: sha256.New(), header: header}
	w.buffer = appendMagic(make([]byte, 0, magicLen+frameHead+max(len(content), maxPiece)), header.Format)
	if err := w.frame(content); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// frame writes a frame behind what is in the buffer.
func (w *SnapshotWriter) frame(content []byte) error {
	w.buffer = appendFrame(w.buffer, w.frames, content)
	w.frames++
	return w.flush()
}

func (w *SnapshotWriter) flush() error {
	w.digest.Write(w.buffer)
	err := w.draft.write(w.buffer)
	w.buffer = w.buffer[:0]
	return err
}

// Write writes a piece of the state, as one piece of the file if it has at most 256 KiB. After an error the caller calls Abort.
func (w *SnapshotWriter) Write(piece []byte) (int, error) {
	written := 0
	for written < len(piece) {
		part := piece[written:min(len(piece), written+maxPiece)]
		if err := w.frame(part); err != nil {
			return written, err
		}
		written += len(part)
		w.state += uint64(len(part))
	}
	return written, nil
}

// Finish ends the file, makes it durable, and returns its pointer, which a Batch makes the group's. Without one the file is removed at
// the next start. When Finish fails, nothing is left of the file.
func (w *SnapshotWriter) Finish() (*messages.Snapshot, error) {
	w.buffer = appendTrailer(w.buffer, w.state)
	w.digest.Write(w.buffer)
	digest := w.digest.Sum(nil)
	_ = w.draft.write(append(w.buffer, digest...)) // keep returns the error
	snapshot := &messages.Snapshot{
		LastIncludedIndex: w.header.LastIncludedIndex, LastIncludedTerm: w.header.LastIncludedTerm, Charter: w.header.Charter,
		Bytes: w.draft.bytes, Digest: digest,
	}
	if err := w.draft.keep(snapshot); err != nil {
		return nil, err
	}
	return snapshot, nil
}

// Abort removes the file. After Finish it does nothing.
func (w *SnapshotWriter) Abort() { w.draft.abort() }

// SnapshotReceiver writes a snapshot file whose bytes come from another node, and checks them as they come. It belongs to one
// goroutine, which calls Finish or Abort. Its errors are the snapshot's alone: the Store goes on.
type SnapshotReceiver struct {
	draft    *draft
	snapshot *messages.Snapshot
	parser   snapshotParser
	buffer   []byte // what was not parsed
	copied   []byte
}

// ReceiveSnapshot begins a file whose bytes come from another node, as they are in its file. Index, term, length and digest are those
// of the pointer. A snapshot that is not newer than the group's is refused.
func (s *Store) ReceiveSnapshot(group GroupID, snapshot *messages.Snapshot) (*SnapshotReceiver, error) {
	d, err := s.begin(group, snapshot.LastIncludedIndex, snapshot.LastIncludedTerm)
	if err != nil {
		return nil, err
	}
	return &SnapshotReceiver{draft: d, snapshot: proto.CloneOf(snapshot), parser: snapshotParser{digest: sha256.New()}}, nil
}

// Write takes the next bytes. What cannot be a part of the snapshot is an error that matches ErrDamaged; after an error the caller
// calls Abort.
func (r *SnapshotReceiver) Write(chunk []byte) (int, error) {
	if r.draft.err != nil {
		return 0, r.draft.err
	}
	if r.draft.bytes+uint64(len(chunk)) > r.snapshot.Bytes {
		return 0, r.refuse(errors.New("it has too many bytes"))
	}
	if err := r.check(chunk); err != nil {
		return 0, r.refuse(err)
	}
	r.copied = append(r.copied[:0], chunk...) // a vfs.File may change what it is given
	if err := r.draft.write(r.copied); err != nil {
		return 0, err
	}
	return len(chunk), nil
}

func (r *SnapshotReceiver) refuse(err error) error {
	kind := ErrDamaged
	if errors.Is(err, ErrNewer) {
		kind = ErrNewer
	}
	r.draft.err = sayOf(kind, err, "the snapshot of group %d that comes from another node cannot be used", r.draft.group)
	return r.draft.err
}

// check parses what has come so far. The buffer holds one frame and one chunk at most.
func (r *SnapshotReceiver) check(chunk []byte) error {
	r.buffer = append(r.buffer, chunk...)
	parsed := 0
	for {
		began := r.parser.header == nil
		length, _, err := r.parser.next(r.buffer[parsed:])
		if err != nil {
			return err
		}
		if length == 0 {
			break
		}
		parsed += length
		if began && r.parser.header != nil {
			if err := r.parser.fits(r.snapshot); err != nil {
				return err
			}
		}
	}
	r.buffer = append(r.buffer[:0], r.buffer[parsed:]...)
	return nil
}

// Finish checks the file's end, length and SHA-256, makes it durable, and returns the pointer, which has the file's charter, but none for
// the file that a group begins with. When Finish fails, nothing is left of the file.
func (r *SnapshotReceiver) Finish() (*messages.Snapshot, error) {
	switch {
	case r.draft.err != nil:
	case r.draft.bytes < r.snapshot.Bytes || r.parser.sum == nil:
		_ = r.refuse(errors.New("it is too short"))
	case !bytes.Equal(r.parser.sum, r.snapshot.Digest):
		_ = r.refuse(errors.New("its SHA-256 is not the one that was said"))
	}
	if err := r.draft.keep(r.snapshot); err != nil {
		return nil, err
	}
	r.snapshot.Charter = nil
	if r.snapshot.LastIncludedIndex > 0 {
		r.snapshot.Charter = r.parser.header.Charter
	}
	return r.snapshot, nil
}

// Abort removes the file. After Finish it does nothing.
func (r *SnapshotReceiver) Abort() { r.draft.abort() }
