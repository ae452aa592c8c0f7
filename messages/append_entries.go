package messages

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var errBadAppendEntries = errors.New("the bytes are not an encoded AppendEntries")

// UnmarshalAppendEntries reads an AppendEntries whose entries point into the encoded bytes: CloneEntries frees it of them. The
// bytes may come from a peer: anything malformed is an error. Unknown fields are kept: the checksum covers them.
func UnmarshalAppendEntries(b []byte) (*AppendEntries, error) {
	n, err := countEntries(b)
	if err != nil {
		return nil, err
	}
	both := new(struct { // in one allocation
		message AppendEntries
		header  Header
	})
	m := &both.message
	if n > 0 {
		m.Entries = make([][]byte, 0, n)
	}
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		b = b[n:] // countEntries has seen that all fields are whole
		var data []byte
		switch {
		case field == 1 && wire == protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
			m.Header = &both.header
			if err := m.Header.merge(data); err != nil {
				return nil, err
			}
		case field == 2 && wire == protowire.VarintType:
			m.PrevLogIndex, n = protowire.ConsumeVarint(b)
		case field == 3 && wire == protowire.VarintType:
			m.PrevLogTerm, n = protowire.ConsumeVarint(b)
		case field == 4 && wire == protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
			m.Entries = append(m.Entries, data[:len(data):len(data)])
		case field == 5 && wire == protowire.VarintType:
			m.LeaderCommit, n = protowire.ConsumeVarint(b)
		case field == 6 && wire == protowire.VarintType:
			m.Round, n = protowire.ConsumeVarint(b)
		case field == 7 && wire == protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
			if !utf8.Valid(data) {
				return nil, errBadAppendEntries
			}
			m.ClientAddress = string(data)
		case field == 15 && wire == protowire.Fixed32Type:
			m.Checksum, n = protowire.ConsumeFixed32(b)
		case field == 16 && wire == protowire.VarintType:
			m.LeaseMs, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(field, wire, b)
			m.unknownFields = append(protowire.AppendTag(m.unknownFields, field, wire), b[:n]...) // as protobuf keeps them
		}
		b = b[n:]
	}
	return m, nil
}

// countEntries also checks that all fields are whole.
func countEntries(b []byte) (count int, err error) {
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 || !field.IsValid() {
			return 0, errBadAppendEntries
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(field, wire, b); n < 0 {
			return 0, errBadAppendEntries
		}
		b = b[n:]
		if field == 4 && wire == protowire.BytesType {
			count++
		}
	}
	return count, nil
}

// longHeader is the length above which the strings of a header are copied singly: they would keep all of it.
const longHeader = 512

// merge reads an encoded Header over what is there already, as protobuf does with a message that comes in parts.
func (h *Header) merge(b []byte) error {
	text := "" // a copy of the bytes, of which all strings are parts
	for whole := b; len(b) > 0; {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 || !field.IsValid() {
			return errBadAppendEntries
		}
		b = b[n:]
		switch {
		case field == 1 && wire == protowire.Fixed64Type:
			h.ClusterId, n = protowire.ConsumeFixed64(b)
		case (field == 2 || field == 3 || field == 4) && wire == protowire.BytesType:
			var data []byte
			if data, n = protowire.ConsumeBytes(b); n < 0 || !utf8.Valid(data) {
				return errBadAppendEntries
			}
			s := ""
			if len(whole) > longHeader {
				s = string(data)
			} else {
				if text == "" {
					text = string(whole)
				}
				end := len(whole) - len(b) + n
				s = text[end-len(data) : end]
			}
			switch field {
			case 2:
				h.Group = s
			case 3:
				h.From = s
			case 4:
				h.To = s
			}
		case field == 5 && wire == protowire.Fixed64Type:
			h.StoreId, n = protowire.ConsumeFixed64(b)
		case field == 6 && wire == protowire.VarintType:
			h.Term, n = protowire.ConsumeVarint(b)
		case field == 7 && wire == protowire.Fixed64Type:
			h.ToStoreId, n = protowire.ConsumeFixed64(b)
		case field == 8 && wire == protowire.VarintType:
			var level uint64
			level, n = protowire.ConsumeVarint(b)
			h.Level = uint32(level)
		default:
			if n = protowire.ConsumeFieldValue(field, wire, b); n >= 0 {
				h.unknownFields = append(protowire.AppendTag(h.unknownFields, field, wire), b[:n]...)
			}
		}
		if n < 0 {
			return errBadAppendEntries
		}
		b = b[n:]
	}
	return nil
}

// CloneEntries copies the entries into one array of their own.
func (m *AppendEntries) CloneEntries() {
	if len(m.Entries) == 0 {
		return
	}
	all := bytes.Join(m.Entries, nil)
	for i, e := range m.Entries {
		m.Entries[i], all = all[:len(e):len(e)], all[len(e):]
	}
}

// MarshalHead appends the encoding of all fields but the entries. The message is complete when each entry follows, behind what
// MarshalEntryHead appends: the order of fields means nothing.
func (m *AppendEntries) MarshalHead(b []byte) ([]byte, error) {
	if m.Header != nil {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(proto.Size(m.Header)))
		var err error
		if b, err = (proto.MarshalOptions{}).MarshalAppend(b, m.Header); err != nil {
			return b, err
		}
	}
	b = appendNumber(b, 2, m.PrevLogIndex)
	b = appendNumber(b, 3, m.PrevLogTerm)
	b = appendNumber(b, 5, m.LeaderCommit)
	b = appendNumber(b, 6, m.Round)
	if m.ClientAddress != "" {
		if !utf8.ValidString(m.ClientAddress) {
			return b, errors.New("the client address is no text")
		}
		b = protowire.AppendString(protowire.AppendTag(b, 7, protowire.BytesType), m.ClientAddress)
	}
	if m.Checksum != 0 {
		b = protowire.AppendFixed32(protowire.AppendTag(b, 15, protowire.Fixed32Type), m.Checksum)
	}
	b = appendNumber(b, 16, m.LeaseMs)
	return append(b, m.unknownFields...), nil
}

// MarshalEntryHead appends what comes before the bytes of an entry.
func MarshalEntryHead(b []byte, e EncodedEntry) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.BytesType), uint64(len(e)))
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}
