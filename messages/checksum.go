package messages

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fields collects what a checksum covers: every field but the checksum, each self-delimiting, so that no two messages give the
// same bytes.
type fields []byte

func (f fields) number(n uint64) fields { return binary.AppendUvarint(f, n) }
func (f fields) text(s string) fields   { return append(f.number(uint64(len(s))), s...) }

func (f fields) flag(b bool) fields {
	if b {
		return append(f, 1)
	}
	return append(f, 0)
}

func (f fields) header(h *Header) fields {
	f = f.number(h.GetClusterId()).text(h.GetGroup()).text(h.GetFrom()).text(h.GetTo())
	return f.number(h.GetStoreId()).number(h.GetTerm()).number(h.GetToStoreId())
}

// covered is a message's part of its checksum.
type covered interface{ covered(fields) fields }

// scratch has the buffers: what crc32 is given escapes to the heap.
var scratch = sync.Pool{New: func() any { return new(fields) }}

func checksum(m covered) uint32 {
	f := scratch.Get().(*fields)
	*f = m.covered((*f)[:0])
	sum := crc32.Checksum(*f, castagnoli)
	scratch.Put(f)
	return sum
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *RequestVote) Seal()        { m.Checksum = checksum(m) }
func (m *RequestVote) Intact() bool { return m.Checksum == checksum(m) }
func (m *RequestVote) covered(f fields) fields {
	return f.header(m.Header).flag(m.PreVote).number(m.LastLogIndex).number(m.LastLogTerm).number(m.Round)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *RequestVoteReply) Seal()        { m.Checksum = checksum(m) }
func (m *RequestVoteReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *RequestVoteReply) covered(f fields) fields {
	return f.header(m.Header).flag(m.PreVote).flag(m.Granted).number(m.Round)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntries) Seal()        { m.Checksum = m.sum() }
func (m *AppendEntries) Intact() bool { return m.Checksum == m.sum() }

func (m *AppendEntries) covered(f fields) fields {
	f = f.header(m.Header).number(m.PrevLogIndex).number(m.PrevLogTerm).number(m.LeaderCommit).number(m.Round)
	return f.text(m.ClientAddress).number(uint64(len(m.Entries)))
}

func (m *AppendEntries) sum() uint32 {
	sum := checksum(m)
	if len(m.Entries) == 0 {
		return sum
	}
	var length [binary.MaxVarintLen64]byte
	for _, e := range m.Entries {
		sum = crc32.Update(sum, castagnoli, length[:binary.PutUvarint(length[:], uint64(len(e)))])
		sum = crc32.Update(sum, castagnoli, e)
	}
	return sum
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntriesReply) Seal()        { m.Checksum = checksum(m) }
func (m *AppendEntriesReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *AppendEntriesReply) covered(f fields) fields {
	f = f.header(m.Header).flag(m.Success).number(m.MatchIndex).number(m.Round)
	return f.number(m.ConflictIndex).number(m.ConflictTerm).text(m.Error)
}
