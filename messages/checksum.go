package messages

import (
	"hash/crc32"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// The checksum of an RPC is the CRC-32C of its encoding without the checksum: the tags and values of the fields that are present, in
// the order of their numbers, and behind them the fields that the reader does not know. Entries and chunks come last. A new field takes a
// number above all others of its message: whoever does not know it gets the same sum.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fields is the part of an encoding that a checksum covers.
type fields []byte

func (f fields) number(field protowire.Number, n uint64) fields { return appendNumber(f, field, n) }

func (f fields) fixed(field protowire.Number, n uint64) fields {
	if n == 0 {
		return f
	}
	return protowire.AppendFixed64(protowire.AppendTag(f, field, protowire.Fixed64Type), n)
}

func (f fields) text(field protowire.Number, s string) fields {
	if s == "" {
		return f
	}
	return protowire.AppendString(protowire.AppendTag(f, field, protowire.BytesType), s)
}

func (f fields) bytes(field protowire.Number, b []byte) fields {
	if len(b) == 0 {
		return f
	}
	return protowire.AppendBytes(protowire.AppendTag(f, field, protowire.BytesType), b)
}

func (f fields) flag(field protowire.Number, b bool) fields {
	if !b {
		return f
	}
	return protowire.AppendVarint(protowire.AppendTag(f, field, protowire.VarintType), 1)
}

// header is the first field of every RPC.
func (f fields) header(h *Header) fields {
	if h == nil {
		return f
	}
	return f.nested(1, h.covered)
}

func (h *Header) covered(f fields) fields {
	f = f.fixed(1, h.ClusterId).text(2, h.Group).text(3, h.From).text(4, h.To).fixed(5, h.StoreId).number(6, h.Term)
	return append(f.fixed(7, h.ToStoreId).number(8, uint64(h.Level)), h.unknownFields...)
}

// nested appends a field that is a message with these fields.
func (f fields) nested(field protowire.Number, content func(fields) fields) fields {
	f = protowire.AppendTag(f, field, protowire.BytesType)
	start := len(f)
	f = content(append(f, 0)) // its length, if that is short
	length := len(f) - start - 1
	if more := protowire.SizeVarint(uint64(length)) - 1; more > 0 {
		f = slices.Insert(f, start+1, make([]byte, more)...)
	}
	protowire.AppendVarint(f[:start], uint64(length))
	return f
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
	f = f.header(m.Header).flag(2, m.PreVote).number(3, m.LastLogIndex).number(4, m.LastLogTerm).number(5, m.Round)
	f = f.bytes(16, m.Origin).number(17, m.ConfigurationIndex).flag(18, m.Transfer)
	return append(f, m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *RequestVoteReply) Seal()        { m.Checksum = checksum(m) }
func (m *RequestVoteReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *RequestVoteReply) covered(f fields) fields {
	f = f.header(m.Header).flag(2, m.PreVote).flag(3, m.Granted).number(4, m.Round)
	return append(f.number(16, m.Removed), m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *TimeoutNow) Seal()        { m.Checksum = checksum(m) }
func (m *TimeoutNow) Intact() bool { return m.Checksum == checksum(m) }
func (m *TimeoutNow) covered(f fields) fields {
	return append(f.header(m.Header).number(2, m.Round), m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *Pulse) Seal()        { m.Checksum = checksum(m) }
func (m *Pulse) Intact() bool { return m.Checksum == checksum(m) }
func (m *Pulse) covered(f fields) fields {
	return append(f.quiescent(m.Groups), m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *PulseReply) Seal()        { m.Checksum = checksum(m) }
func (m *PulseReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *PulseReply) covered(f fields) fields {
	return append(f.quiescent(m.Groups), m.unknownFields...)
}

func (f fields) quiescent(groups []*Quiescent) fields {
	for _, g := range groups {
		f = f.nested(1, g.covered)
	}
	return f
}

func (m *Quiescent) covered(f fields) fields {
	return append(f.text(1, m.GetGroup()).number(2, m.GetTerm()), m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntries) Seal()        { m.Checksum = m.sum() }
func (m *AppendEntries) Intact() bool { return m.Checksum == m.sum() }

func (m *AppendEntries) covered(f fields) fields {
	f = f.header(m.Header).number(2, m.PrevLogIndex).number(3, m.PrevLogTerm).number(5, m.LeaderCommit).number(6, m.Round)
	return append(f.text(7, m.ClientAddress).number(16, m.LeaseMs), m.unknownFields...)
}

func (m *AppendEntries) sum() uint32 {
	sum := checksum(m)
	if len(m.Entries) == 0 {
		return sum
	}
	head := scratch.Get().(*fields)
	for _, e := range m.Entries {
		*head = MarshalEntryHead((*head)[:0], e)
		sum = crc32.Update(sum, castagnoli, *head)
		sum = crc32.Update(sum, castagnoli, e)
	}
	scratch.Put(head)
	return sum
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *AppendEntriesReply) Seal()        { m.Checksum = checksum(m) }
func (m *AppendEntriesReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *AppendEntriesReply) covered(f fields) fields {
	f = f.header(m.Header).flag(2, m.Success).number(3, m.MatchIndex).number(4, m.Round)
	f = f.number(5, m.ConflictIndex).number(6, m.ConflictTerm).text(7, m.Error).flag(16, m.NeedsSnapshot).flag(17, m.Promised)
	return append(f, m.unknownFields...)
}

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *InstallSnapshot) Seal()        { m.Checksum = m.sum() }
func (m *InstallSnapshot) Intact() bool { return m.Checksum == m.sum() }

func (m *InstallSnapshot) covered(f fields) fields {
	f = f.header(m.Header).number(2, m.LastIncludedIndex).number(3, m.LastIncludedTerm).number(4, m.Offset)
	f = append(f.number(5, m.Bytes).bytes(6, m.Digest).number(7, m.Round), m.unknownFields...)
	if len(m.Data) > 0 {
		f = protowire.AppendVarint(protowire.AppendTag(f, 8, protowire.BytesType), uint64(len(m.Data)))
	}
	return f
}

func (m *InstallSnapshot) sum() uint32 { return crc32.Update(checksum(m), castagnoli, m.Data) }

// Seal sets the checksum; the message must not change afterwards. Intact says whether it still fits.
func (m *InstallSnapshotReply) Seal()        { m.Checksum = checksum(m) }
func (m *InstallSnapshotReply) Intact() bool { return m.Checksum == checksum(m) }
func (m *InstallSnapshotReply) covered(f fields) fields {
	f = f.header(m.Header).number(2, m.LastIncludedIndex).bytes(3, m.Digest).number(4, m.Offset).number(5, m.Round)
	return append(f.flag(6, m.Done).text(7, m.Error), m.unknownFields...)
}
