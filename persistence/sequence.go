package persistence

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	sequenceName = "SEQUENCE"
	// The slots are in different pages, so that one torn write cannot hit both.
	slotDistance = 4096
	slotLen      = 4 + 8 + 8 // crc32c | sequence number | store id
)

// sequence is the side file: the number of the last synced write. Of its two slots, one holds what the last fsync made
// durable and is left alone until the other has been fsynced.
type sequence struct {
	file    vfs.File
	storeID uint64
	slot    int64
	dirty   bool
	buf     [slotLen]byte
}

func fillSlot(b []byte, number, storeID uint64) {
	binary.BigEndian.PutUint64(b[4:], number)
	binary.BigEndian.PutUint64(b[12:], storeID)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:slotLen], castagnoli))
}

// note writes the number, without fsync.
func (q *sequence) note(number uint64) error {
	fillSlot(q.buf[:], number, q.storeID)
	q.dirty = true
	_, err := q.file.WriteAt(q.buf[:], q.slot*slotDistance)
	return err
}

// sync makes the noted number durable.
func (q *sequence) sync() error {
	if !q.dirty {
		return nil
	}
	if err := q.file.SyncData(); err != nil {
		return err
	}
	q.slot, q.dirty = 1-q.slot, false
	return nil
}

// foundSequence writes a new side file with number 0, durably.
func foundSequence(fs vfs.FS, dir string, storeID uint64) error {
	name := fs.PathJoin(dir, sequenceName)
	file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	content := make([]byte, 2*slotDistance)
	fillSlot(content, 0, storeID)
	fillSlot(content[slotDistance:], 0, storeID)
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}

// side is what a side file says.
type side struct {
	exists  bool
	valid   bool // at least one slot is whole
	number  uint64
	storeID uint64
	slot    int64 // of number
}

// readSide reads the side file. A torn slot is no error.
func readSide(fs vfs.FS, dir string) (side, error) {
	file, err := fs.Open(fs.PathJoin(dir, sequenceName))
	if oserror.IsNotExist(err) {
		return side{}, nil
	}
	if err != nil {
		return side{}, err
	}
	defer func() { _ = file.Close() }()
	found := side{exists: true}
	for slot := range int64(2) {
		var b [slotLen]byte
		_, err := file.ReadAt(b[:], slot*slotDistance)
		if err == io.EOF {
			continue
		}
		if err != nil {
			return side{}, err
		}
		if crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b[:]) {
			continue
		}
		number := binary.BigEndian.Uint64(b[4:])
		if !found.valid || number > found.number {
			found.valid, found.slot = true, slot
			found.number, found.storeID = number, binary.BigEndian.Uint64(b[12:])
		}
	}
	return found, nil
}

// openSequence opens the side file for writing. The slot with the highest number may not be fsynced yet: aside fsyncs it before
// the other one is overwritten.
func openSequence(fs vfs.FS, dir string, storeID uint64, slot int64) (*sequence, error) {
	file, err := fs.OpenReadWrite(fs.PathJoin(dir, sequenceName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &sequence{file: file, storeID: storeID, slot: 1 - slot}, nil
}
