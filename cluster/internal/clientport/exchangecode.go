package clientport

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// field is one field of an encoded message: a number, or bytes.
type field struct {
	number protowire.Number
	value  uint64
	bytes  []byte // nil: it is a number
}

// nextField is false when the rest is no message.
func nextField(b []byte) (f field, rest []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, nil, false
	}
	f.number, b = number, b[n:]
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
		if n >= 0 && f.bytes == nil {
			f.bytes = []byte{}
		}
	default:
		f.number = 0 // of a kind that no field has which is known here
		n = protowire.ConsumeFieldValue(number, kind, b)
	}
	if n < 0 {
		return field{}, nil, false
	}
	return f, b[n:], true
}

// survey counts the calls of an ExchangeRequest, and finds its ping.
func survey(b []byte) (calls int, ping uint64, ok bool) {
	for len(b) > 0 {
		var f field
		if f, b, ok = nextField(b); !ok {
			return 0, 0, false
		}
		switch {
		case f.number == 1 && f.bytes != nil:
			calls++
		case f.number == 2 && f.bytes == nil:
			ping = f.value
		}
	}
	return calls, ping, true
}

var errMalformedCall = connect.NewError(connect.CodeInvalidArgument, errNoCall)

// decodeCall reads a Call. What it returns beside an error is good for the answer.
func decodeCall(b []byte, a *arena) (r request, err error) {
	var body []byte
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok {
			return r, errMalformedCall
		}
		b = rest
		switch {
		case f.bytes == nil && f.number == 1:
			r.id = f.value
		case f.bytes == nil && f.number == 6:
			r.timeoutMs = f.value
		case f.bytes != nil && f.number >= 2 && f.number <= 5:
			r.kind, body = callKind(f.number), f.bytes
		}
	}
	if body == nil {
		return r, errMalformedCall
	}
	return r, r.decodeBody(body, a)
}

func (r *request) decodeBody(b []byte, a *arena) (err error) {
	var (
		serial      []byte // nil: none
		id          []byte
		consistency messages.Consistency
		staleness   uint64
	)
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok {
			return errMalformedCall
		}
		b = rest
		switch number, isBytes := f.number, f.bytes != nil; {
		case number == 1 && isBytes:
			r.group = f.bytes
		case number == 2 && r.kind == openCall && !isBytes:
			r.nonce = f.value
		case number == 2 && r.kind == closeCall && isBytes:
			id = f.bytes
		case number == 2 && isBytes:
			r.data = a.copy(f.bytes)
		case number == 3 && r.kind == submitCall && isBytes:
			serial = f.bytes
		case number == 3 && r.kind == queryCall && !isBytes:
			consistency = messages.Consistency(int32(f.value))
		case number == 4 && r.kind == queryCall && !isBytes:
			staleness = f.value
		case number == 5 && r.kind == queryCall && !isBytes:
			r.minIndex = f.value
		}
	}
	switch {
	case r.kind == closeCall:
		r.session.Session, err = messages.ParseSession(id)
	case r.kind == queryCall:
		r.read, err = actors.ReadOf(consistency, staleness)
	case serial != nil:
		r.session, err = decodeSerial(serial)
	}
	return err
}

// decodeSerial reads a SessionSerial.
func decodeSerial(b []byte) (messages.SessionCommand, error) {
	var id []byte
	var serial, lowest uint64
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok {
			return messages.SessionCommand{}, errMalformedCall
		}
		b = rest
		switch {
		case f.number == 1 && f.bytes != nil:
			id = f.bytes
		case f.number == 2 && f.bytes == nil:
			serial = f.value
		case f.number == 3 && f.bytes == nil:
			lowest = f.value
		}
	}
	return messages.SessionCommandOf(id, serial, lowest)
}

// arena copies small pieces into larger ones, which are a piece at most for each that is in use.
type arena struct{ free []byte }

const arenaBytes = 2 << 10

func (a *arena) copy(b []byte) []byte {
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

// appendAnswer appends a call's answer, as a field of an ExchangeResponse.
func appendAnswer(b []byte, c *call) []byte {
	if c.answer.Err == nil && (c.kind == submitCall || c.kind == queryCall) {
		return appendResult(b, c)
	}
	m := &messages.CallAnswer{Id: c.id}
	opened, err := actors.OpenedSession{}, c.answer.Err
	if err == nil && c.kind == openCall {
		opened, err = actors.DecodeOpenedSession(c.answer.Value)
	}
	switch {
	case err != nil:
		m.Answer = &messages.CallAnswer_Error{Error: callError(err)}
	case c.kind == openCall:
		m.Answer = &messages.CallAnswer_Opened{Opened: &messages.OpenResponse{Session: opened.ID.Bytes(), Window: opened.Window}}
	default:
		m.Answer = &messages.CallAnswer_Closed{Closed: &messages.CloseResponse{}}
	}
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	b, _ = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	return b
}

// appendResult is for a SubmitResponse or QueryResponse, whose fields have the same numbers.
func appendResult(b []byte, c *call) []byte {
	inner := 0
	if c.answer.Index != 0 {
		inner += 1 + protowire.SizeVarint(c.answer.Index)
	}
	if len(c.answer.Value) > 0 {
		inner += 1 + protowire.SizeBytes(len(c.answer.Value))
	}
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeVarint(c.id)+1+protowire.SizeBytes(inner)))
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), c.id)
	b = protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(c.kind), protowire.BytesType), uint64(inner))
	if c.answer.Index != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), c.answer.Index)
	}
	if len(c.answer.Value) > 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), c.answer.Value)
	}
	return b
}
