package clientport

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/protofields"
	"github.com/troupe-raft/troupe/messages"
)

// survey counts the calls of an ExchangeRequest, and finds its ping.
func survey(b []byte) (calls int, ping uint64, ok bool) {
	for len(b) > 0 {
		var f protofields.Field
		if f, b, ok = protofields.Next(b); !ok {
			return 0, 0, false
		}
		switch {
		case f.Number == 1 && f.Bytes != nil:
			calls++
		case f.Number == 2 && f.Bytes == nil:
			ping = f.Value
		}
	}
	return calls, ping, true
}

var errMalformedCall = connect.NewError(connect.CodeInvalidArgument, errNoCall)

// decodeCall reads a Call. What it returns beside an error is good for the answer.
func decodeCall(b []byte, a *protofields.Arena) (r request, err error) {
	var body []byte
	for len(b) > 0 {
		f, rest, ok := protofields.Next(b)
		if !ok {
			return r, errMalformedCall
		}
		b = rest
		switch {
		case f.Bytes == nil && f.Number == 1:
			r.id = f.Value
		case f.Bytes == nil && f.Number == 6:
			r.timeoutMs = f.Value
		case f.Bytes != nil && f.Number >= 2 && f.Number <= 5:
			r.kind, body = callKind(f.Number), f.Bytes
		}
	}
	if body == nil {
		return r, errMalformedCall
	}
	return r, r.decodeBody(body, a)
}

func (r *request) decodeBody(b []byte, a *protofields.Arena) (err error) {
	var (
		serial      []byte // nil: none
		id          []byte
		consistency messages.Consistency
		staleness   uint64
	)
	for len(b) > 0 {
		f, rest, ok := protofields.Next(b)
		if !ok {
			return errMalformedCall
		}
		b = rest
		switch number, isBytes := f.Number, f.Bytes != nil; {
		case number == 1 && isBytes:
			r.group = f.Bytes
		case number == 2 && r.kind == openCall && !isBytes:
			r.nonce = f.Value
		case number == 2 && r.kind == closeCall && isBytes:
			id = f.Bytes
		case number == 2 && isBytes:
			r.data = a.Copy(f.Bytes)
		case number == 3 && r.kind == submitCall && isBytes:
			serial = f.Bytes
		case number == 3 && r.kind == queryCall && !isBytes:
			consistency = messages.Consistency(int32(f.Value))
		case number == 4 && r.kind == queryCall && !isBytes:
			staleness = f.Value
		case number == 5 && r.kind == queryCall && !isBytes:
			r.minIndex = f.Value
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
		f, rest, ok := protofields.Next(b)
		if !ok {
			return messages.SessionCommand{}, errMalformedCall
		}
		b = rest
		switch {
		case f.Number == 1 && f.Bytes != nil:
			id = f.Bytes
		case f.Number == 2 && f.Bytes == nil:
			serial = f.Value
		case f.Number == 3 && f.Bytes == nil:
			lowest = f.Value
		}
	}
	return messages.SessionCommandOf(id, serial, lowest)
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
