package messages

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// EncodedEntry is an Entry in its protobuf encoding, made once by the leader: the same bytes go to disk, to the wire and
// to the follower's disk. It is immutable.
type EncodedEntry = []byte

var errBadEntry = errors.New("the bytes are not an encoded log entry")

// Amends says whether entries of this kind change the group itself: its founding, its feature level. Kinds that this version does not
// know may do so.
func (k Entry_Kind) Amends() bool { return k != Entry_KIND_COMMAND && k != Entry_KIND_NOOP }

// EncodeEntry encodes an Entry, exactly as proto.Marshal does, with one allocation.
func EncodeEntry(term uint64, kind Entry_Kind, data []byte) EncodedEntry {
	return AppendEntry(make([]byte, 0, EntrySize(term, kind, data)), term, kind, data)
}

// EntrySize is the length of the encoding.
func EntrySize(term uint64, kind Entry_Kind, data []byte) int {
	size := 0
	if term != 0 {
		size += 1 + protowire.SizeVarint(term)
	}
	if kind != 0 {
		size += 1 + protowire.SizeVarint(uint64(kind))
	}
	if len(data) != 0 {
		size += 1 + protowire.SizeBytes(len(data))
	}
	return size
}

// AppendEntry appends the encoding of an Entry to b.
func AppendEntry(b []byte, term uint64, kind Entry_Kind, data []byte) []byte {
	if term != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), term)
	}
	if kind != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(kind))
	}
	if len(data) != 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), data)
	}
	return b
}

// EntryView is a decoded Entry whose Data points into the encoded bytes.
type EntryView struct {
	Term uint64
	Kind Entry_Kind
	Data []byte
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
