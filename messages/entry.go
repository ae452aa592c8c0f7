package messages

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// EncodedEntry is an Entry in its protobuf encoding, made once by the leader: the same bytes go to disk, to the wire and
// to the follower's disk. It is immutable.
type EncodedEntry = []byte

var errBadEntry = errors.New("the bytes are not an encoded log entry")

// Amends says whether entries of this kind change the group itself: its founding, its feature level, its members. Kinds that this version
// does not know may do so.
func (k Entry_Kind) Amends() bool {
	switch k {
	case Entry_KIND_COMMAND, Entry_KIND_NOOP, Entry_KIND_OPEN_SESSION, Entry_KIND_CLOSE_SESSION:
		return false
	}
	return true
}

// EntryView is a decoded Entry whose Data points into the encoded bytes.
type EntryView struct {
	Term uint64
	Kind Entry_Kind
	Data []byte
	// Time is log time in milliseconds; 0: not stamped.
	Time    uint64
	Session SessionCommand
}

// SessionCommand is a command's place in its client's session; zero: it has none.
type SessionCommand struct {
	Session SessionID
	// Serial is the command's number. All commands below Lowest have their answers, or are given up.
	Serial, Lowest uint64
}

// EncodeEntry encodes an Entry of these fields, exactly as proto.Marshal does, with one allocation.
func EncodeEntry(term uint64, kind Entry_Kind, data []byte) EncodedEntry {
	e := EntryView{Term: term, Kind: kind, Data: data}
	return e.AppendTo(make([]byte, 0, e.Size()))
}

// Size is the length of the encoding.
func (e *EntryView) Size() int {
	size := sizeVarint(e.Term) + sizeVarint(uint64(e.Kind)) + sizeVarint(e.Time)
	if len(e.Data) != 0 {
		size += 1 + protowire.SizeBytes(len(e.Data))
	}
	if s := &e.Session; *s != (SessionCommand{}) {
		size += sizeVarint(s.Session.Index) + sizeVarint(s.Serial) + sizeVarint(s.Lowest)
		if s.Session.Nonce != 0 {
			size += 1 + 8
		}
	}
	return size
}

// AppendTo appends the encoding to b.
func (e *EntryView) AppendTo(b []byte) []byte {
	b = appendNumber(b, 1, e.Term)
	b = appendNumber(b, 2, uint64(e.Kind))
	if len(e.Data) != 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), e.Data)
	}
	b = appendNumber(b, 4, e.Time)
	if s := &e.Session; *s != (SessionCommand{}) {
		b = appendNumber(b, 5, s.Session.Index)
		if s.Session.Nonce != 0 {
			b = protowire.AppendFixed64(protowire.AppendTag(b, 6, protowire.Fixed64Type), s.Session.Nonce)
		}
		b = appendNumber(b, 7, s.Serial)
		b = appendNumber(b, 8, s.Lowest)
	}
	return b
}

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// DecodeEntry reads an encoded Entry without copying. The bytes may come from a peer: anything malformed is an error.
// Unknown fields are skipped.
func DecodeEntry(b EncodedEntry) (EntryView, error) {
	var e EntryView
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 || !field.IsValid() {
			return EntryView{}, errBadEntry
		}
		b = b[n:]
		switch {
		case field == 1 && wire == protowire.VarintType:
			e.Term, n = protowire.ConsumeVarint(b)
		case field == 2 && wire == protowire.VarintType:
			var kind uint64
			kind, n = protowire.ConsumeVarint(b)
			e.Kind = Entry_Kind(kind)
		case field == 3 && wire == protowire.BytesType:
			e.Data, n = protowire.ConsumeBytes(b)
		case field == 4 && wire == protowire.VarintType:
			e.Time, n = protowire.ConsumeVarint(b)
		case field == 5 && wire == protowire.VarintType:
			e.Session.Session.Index, n = protowire.ConsumeVarint(b)
		case field == 6 && wire == protowire.Fixed64Type:
			e.Session.Session.Nonce, n = protowire.ConsumeFixed64(b)
		case field == 7 && wire == protowire.VarintType:
			e.Session.Serial, n = protowire.ConsumeVarint(b)
		case field == 8 && wire == protowire.VarintType:
			e.Session.Lowest, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(field, wire, b)
		}
		if n < 0 {
			return EntryView{}, errBadEntry
		}
		b = b[n:]
	}
	return e, nil
}
