package kv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/troupe-raft/troupe/actors"
)

// A view is written as the encoding's version, the number of items and the floor. Then comes each item, in any order: its key with the
// length before it, its version, its value with the length before it. Numbers are unsigned varints. Nothing follows.
const encodingVersion = 1

// bufferBytes is the size of reads and writes.
const bufferBytes = 64 << 10

// MachineName names the map in snapshots.
func (*Map) MachineName() string { return "troupe/kv" }

// Snapshot freezes the map, in a time that does not depend on its size. While the view is open, the map takes more memory: for what is
// written meanwhile.
func (m *Map) Snapshot() (actors.View, error) {
	if m.items.open != nil {
		return nil, errors.New("the map has a view already: close that first")
	}
	return m.items.freeze(m.floor), nil
}

// view is the map as it was when the view was opened.
type view struct {
	contents
	layers *layers
	count  int
	floor  uint64
}

// Close lets the map take back what changed.
func (v *view) Close() error {
	v.layers.thaw(v)
	return nil
}

// WriteTo writes the map, and ends with the first error of the writer.
func (v *view) WriteTo(w io.Writer) (int64, error) {
	counted := &countingWriter{w: w}
	b := bufio.NewWriterSize(counted, bufferBytes)
	if err := v.encode(b); err != nil {
		return counted.n, err
	}
	err := b.Flush()
	return counted.n, err
}

func (v *view) encode(b *bufio.Writer) error {
	fields := binary.AppendUvarint(nil, encodingVersion)
	fields = binary.AppendUvarint(fields, uint64(v.count))
	fields = binary.AppendUvarint(fields, v.floor)
	if _, err := b.Write(fields); err != nil {
		return err
	}
	for key, it := range v.all() {
		fields = binary.AppendUvarint(fields[:0], uint64(len(key)))
		fields = append(fields, key...)
		fields = binary.AppendUvarint(fields, it.version)
		fields = binary.AppendUvarint(fields, uint64(len(it.value)))
		if _, err := b.Write(fields); err != nil {
			return err
		}
		// What is longer than the buffer would go past it, in one piece.
		for piece := range slices.Chunk(it.value, bufferBytes) {
			if _, err := b.Write(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Restore replaces the map by the one that a view wrote. It reads to the end. After an error the map is empty.
func (m *Map) Restore(r io.Reader) error {
	// The old items go first, so that memory need not hold both.
	m.items, m.floor = newLayers(make(map[string]*item)), 0
	base, floor, err := decodeView(bufio.NewReaderSize(r, bufferBytes))
	if err != nil {
		return fmt.Errorf("the map cannot be restored: %w", err)
	}
	m.items, m.floor = newLayers(base), floor
	return nil
}

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
	base = make(map[string]*item, min(count, provenItems))
	for n := range count {
		key, it, err := readItem(r)
		if err != nil {
			return nil, 0, fmt.Errorf("item %d of %d: %w", n+1, count, err)
		}
		base[key] = it
		if uint64(len(base)) != n+1 {
			return nil, 0, fmt.Errorf("item %d of %d: %w: its key came before", n+1, count, errDamaged)
		}
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

func readItem(r *bufio.Reader) (key string, it *item, err error) {
	size, err := readNumber(r)
	if err != nil {
		return "", nil, err
	}
	if size == 0 || size > MaxKeyBytes {
		return "", nil, fmt.Errorf("%w: the key has %d bytes, not 1 to %d", errDamaged, size, MaxKeyBytes)
	}
	b, err := r.Peek(int(size))
	if err != nil {
		return "", nil, early(err)
	}
	key = string(b)
	r.Discard(int(size)) // what was peeked at is there
	it = &item{}
	if it.version, err = readNumber(r); err != nil {
		return "", nil, err
	}
	if it.version == 0 {
		return "", nil, fmt.Errorf("%w: the key's version is 0", errDamaged)
	}
	it.value, err = readValue(r)
	return key, it, err
}

// readValue returns an array of its own, since the next value of the key takes it over.
func readValue(r *bufio.Reader) ([]byte, error) {
	size, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	if size > MaxValueBytes {
		return nil, fmt.Errorf("%w: the value has %d bytes, more than %d", errDamaged, size, MaxValueBytes)
	}
	value := make([]byte, size)
	_, err = io.ReadFull(r, value)
	return value, early(err)
}

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
