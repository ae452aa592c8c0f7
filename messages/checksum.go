package messages

import (
	"encoding/binary"
	"hash/crc32"
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
	return f.number(h.GetClusterId()).text(h.GetGroup()).text(h.GetFrom()).text(h.GetTo()).number(h.GetStoreId()).number(h.GetTerm())
}

func (f fields) sum() uint32 { return crc32.Checksum(f, castagnoli) }

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *RequestVote) Seal()        { m.Checksum = m.sum() }
func (m *RequestVote) Intact() bool { return m.Checksum == m.sum() }
func (m *RequestVote) sum() uint32 {
	return make(fields, 0, 256).header(m.Header).flag(m.PreVote).number(m.LastLogIndex).number(m.LastLogTerm).number(m.Round).sum()
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *RequestVoteReply) Seal()        { m.Checksum = m.sum() }
func (m *RequestVoteReply) Intact() bool { return m.Checksum == m.sum() }
func (m *RequestVoteReply) sum() uint32 {
	return make(fields, 0, 256).header(m.Header).flag(m.PreVote).flag(m.Granted).number(m.Round).sum()
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntries) Seal()        { m.Checksum = m.sum() }
func (m *AppendEntries) Intact() bool { return m.Checksum == m.sum() }
func (m *AppendEntries) sum() uint32 {
	f := make(fields, 0, 256).header(m.Header).number(m.PrevLogIndex).number(m.PrevLogTerm).number(m.LeaderCommit).number(m.Round)
	sum := f.text(m.ClientAddress).number(uint64(len(m.Entries))).sum()
	var length [binary.MaxVarintLen64]byte
	for _, e := range m.Entries {
		sum = crc32.Update(sum, castagnoli, length[:binary.PutUvarint(length[:], uint64(len(e)))])
		sum = crc32.Update(sum, castagnoli, e)
	}
	return sum
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntriesReply) Seal()        { m.Checksum = m.sum() }
func (m *AppendEntriesReply) Intact() bool { return m.Checksum == m.sum() }
func (m *AppendEntriesReply) sum() uint32 {
	f := make(fields, 0, 256).header(m.Header).flag(m.Success).number(m.MatchIndex).number(m.Round)
	return f.number(m.ConflictIndex).number(m.ConflictTerm).text(m.Error).sum()
}
