// Package protofields reads encoded messages field by field. Both ends of an Exchange do: to make structs of thousands of calls a
// millisecond, and of their answers, takes more time than all else.
package protofields

import "google.golang.org/protobuf/encoding/protowire"

// Field is one field of an encoded message: a number, or bytes.
type Field struct {
	Number protowire.Number
	Value  uint64
	Bytes  []byte // nil: it is a number
}

// Next reads the first field. It is false when the rest is no message. The bytes are those of b.
func Next(b []byte) (f Field, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return Field{}, nil, false
	}
	f.Number, b = number, b[n:]
	switch kind {
	case protowire.VarintType:
		f.Value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.Value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.Bytes, n = protowire.ConsumeBytes(b)
		if n >= 0 && f.Bytes == nil {
			f.Bytes = []byte{}
		}
	default:
		f.Number = 0 // of a kind that no field has which is known here
		n = protowire.ConsumeFieldValue(number, kind, b)
	}
	if n < 0 {
		return Field{}, nil, false
	}
	return f, b[n:], true
}

// Arena copies small pieces into larger ones, which are a piece at most for each that is in use. It belongs to one goroutine.
type Arena struct{ free []byte }

const arenaBytes = 2 << 10

// Copy returns a copy of b.
func (a *Arena) Copy(b []byte) []byte {
	if len(b) > arenaBytes/4 {
		return append([]byte(nil), b...)
	}
	if cap(a.free)-len(a.free) < len(b) {
		a.free = make([]byte, 0, arenaBytes)
	}
	from := len(a.free)
	a.free = append(a.free, b...)
	return a.free[from:len(a.free):len(a.free)]
}
