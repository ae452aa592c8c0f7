package kv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Restore replaces the map by the one that a view wrote. It reads to the end. After an error the map is empty.
func (m *Map) Restore(r io.Reader) error {
	// The old items go first, so that memory need not hold both.
	m.items, m.floor = newLayers(make(map[string]*item)), 0
	if sized, ok := r.(interface{ Size() int64 }); ok && sized.Size() >= largeState {
		expectMemory(sized.Size() + sized.Size()/4)
	}
	base, floor, err := decodeView(bufio.NewReaderSize(r, bufferBytes))
	if err != nil {
		return fmt.Errorf("the map cannot be restored: %w", err)
	}
	m.items, m.floor = newLayers(base), floor
	return nil
}

// largeState is from how many bytes on it is worth while to prepare memory.
const largeState = 64 << 20

// Inspect reads what a view of a [Map] wrote, and returns the number of keys, how many bytes keys and values have together, and the
// map's [Map.Hash]. It takes as much memory as the map does.
func Inspect(r io.Reader) (keys int, size int64, hash [sha256.Size]byte, err error) {
	m := NewMap()
	if err := m.Restore(r); err != nil {
		return 0, 0, hash, err
	}
	for key, it := range m.items.all() {
		size += int64(len(key) + len(it.value))
	}
	return m.Len(), size, m.Hash(), nil
}

// provenItems is how many items memory is taken for before they are there.
const provenItems = 1 << 16

func decodeView(r *bufio.Reader) (base map[string]*item, floor uint64, err error) {
	version, err := readNumber(r)
	if err != nil {
		return nil, 0, err
	}
	if version != encodingVersion {
		return nil, 0, fmt.Errorf("its encoding has version %d, and this build reads version %d: use the build that wrote it",
			version, encodingVersion)
	}
	count, err := readNumber(r)
	if err != nil {
		return nil, 0, err
	}
	if floor, err = readNumber(r); err != nil {
		return nil, 0, err
	}
	if base, err = restoreItems(r, count); err != nil {
		return nil, 0, err
	}
	switch _, err := r.ReadByte(); err {
	case io.EOF:
		return base, floor, nil
	case nil:
		return nil, 0, fmt.Errorf("%w: more bytes follow its %d items", errDamaged, count)
	default:
		return nil, 0, err
	}
}

var errDamaged = errors.New("the snapshot is damaged, take another one")

func readNumber(r *bufio.Reader) (uint64, error) {
	b, err := r.Peek(binary.MaxVarintLen64)
	number, n := binary.Uvarint(b)
	switch {
	case n > 0:
		r.Discard(n)
		return number, nil
	case n == 0 && err != nil:
		return 0, early(err)
	}
	return 0, fmt.Errorf("%w: a number has too many digits", errDamaged)
}

// early makes a sentence of an end that comes too early. Other errors are the reader's.
func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too early", errDamaged)
	}
	return err
}
