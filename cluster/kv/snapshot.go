package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
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
