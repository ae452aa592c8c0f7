package persistence

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-raft/troupe/messages"
)

// GroupID is a group's number in keys. Numbers start at 1.
type GroupID uint32

// The regions of the keys. Logs have one to themselves: see pebbleOptions.
const (
	regionRecords = 'A'
	regionLogs    = 'L'
)

const (
	kindGroup     = 'G'
	kindIdentity  = 'I'
	kindSequence  = 'Q'
	kindCompacted = 'C'
	kindHardState = 'H'
	kindPeer      = 'P'
	kindSnapshot  = 'S'
)

const (
	prefixLen    = 1 + 4 + 1 // of a record's key
	logPrefixLen = 1 + 4
	logKeyLen    = logPrefixLen + 8

	checksumLen    = 4
	blockHeaderLen = checksumLen + 8 + 4
	// maxBlock bounds a block's value, unless a single entry is larger.
	maxBlock = 256 << 10
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errChecksum = errors.New("its checksum is wrong")
	errFraming  = errors.New("its framing is wrong")
)

func appendPrefix(b []byte, group GroupID, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, regionRecords), uint32(group)), kind)
}

func key(group GroupID, kind byte) []byte {
	return appendPrefix(make([]byte, 0, prefixLen), group, kind)
}

func appendLogPrefix(b []byte, group GroupID) []byte {
	return binary.BigEndian.AppendUint32(append(b, regionLogs), uint32(group))
}

func appendLogKey(b []byte, group GroupID, last uint64) []byte {
	return binary.BigEndian.AppendUint64(appendLogPrefix(b, group), last)
}

func logKey(group GroupID, last uint64) []byte {
	return appendLogKey(make([]byte, 0, logKeyLen), group, last)
}

func peerKey(group GroupID, peer string) []byte { return append(key(group, kindPeer), peer...) }

func groupKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32(key(0, kindGroup), number)
}

// logEnd is the first key after all blocks of the group.
func logEnd(group GroupID) []byte { return appendLogPrefix(nil, group+1) }

func uvarintLen(x int) int { return (bits.Len64(uint64(x)|1) + 6) / 7 }

// blockOf says how many of the entries go into the next block, and the length of its value.
func blockOf(entries []messages.EncodedEntry) (count, size int) {
	size = blockHeaderLen
	for _, e := range entries {
		n := uvarintLen(len(e)) + len(e)
		if count > 0 && size+n > maxBlock {
			break
		}
		size += n
		count++
	}
	return count, size
}

// putBlocks adds the entries, the first of which has index first, to the batch as blocks.
func putBlocks(batch *pebble.Batch, group GroupID, first uint64, entries []messages.EncodedEntry) {
	for len(entries) > 0 {
		count, size := blockOf(entries)
		op := batch.SetDeferred(logKeyLen, size)
		appendLogKey(op.Key[:0], group, first+uint64(count)-1)
		v := op.Value[:checksumLen]
		v = binary.BigEndian.AppendUint64(v, first)
		v = binary.BigEndian.AppendUint32(v, uint32(count))
		for _, e := range entries[:count] {
			v = binary.AppendUvarint(v, uint64(len(e)))
			v = append(v, e...)
		}
		binary.BigEndian.PutUint32(op.Value, checksum(op.Key, op.Value))
		_ = op.Finish() // fails only for indexed batches
		first += uint64(count)
		entries = entries[count:]
	}
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value[checksumLen:])
}

// block is a checked block; its entries are still framed.
type block struct {
	first, last uint64
	count       int
	framed      []byte
}

// openBlock checks a block's checksum and header. The result points into value.
func openBlock(key, value []byte) (block, error) {
	if len(key) != logKeyLen || len(value) < blockHeaderLen {
		return block{}, errFraming
	}
	if checksum(key, value) != binary.BigEndian.Uint32(value) {
		return block{}, errChecksum
	}
	b := block{
		first:  binary.BigEndian.Uint64(value[checksumLen:]),
		last:   binary.BigEndian.Uint64(key[logPrefixLen:]),
		count:  int(binary.BigEndian.Uint32(value[checksumLen+8:])),
		framed: value[blockHeaderLen:],
	}
	if b.first == 0 || b.count == 0 || b.first+uint64(b.count)-1 != b.last {
		return block{}, errPlace
	}
	if b.count > len(b.framed) {
		return block{}, errFraming
	}
	return b, nil
}

var errPlace = errors.New("its place does not fit the entries it holds")

// next takes the first entry off a block's framed entries.
func next(framed []byte) (entry, rest []byte, err error) {
	n, w := binary.Uvarint(framed)
	if w <= 0 || n > uint64(len(framed)-w) {
		return nil, nil, errFraming
	}
	end := w + int(n)
	return framed[w:end:end], framed[end:], nil
}

// head returns the block's entries before index end. They point into the block.
func (b block) head(end uint64) ([]messages.EncodedEntry, error) {
	entries := make([]messages.EncodedEntry, 0, end-b.first)
	framed := b.framed
	for i := b.first; i < end; i++ {
		entry, rest, err := next(framed)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
		framed = rest
	}
	return entries, nil
}
