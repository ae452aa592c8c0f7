package client

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/internal/protofields"
	"github.com/troupe-raft/troupe/messages"
)

// The fields of a messages.Call, and of its answer in a messages.CallAnswer.
const (
	openCall   protowire.Number = 2
	closeCall  protowire.Number = 3
	submitCall protowire.Number = 4
	queryCall  protowire.Number = 5
)

// append appends the call, as a field of an ExchangeRequest.
func (c *call) append(b []byte) []byte {
	size := 1 + protowire.SizeVarint(c.id) + 1 + protowire.SizeBytes(len(c.body)) + 1 + protowire.SizeVarint(uint64(c.timeoutMs))
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(size))
	b = appendNumber(b, 1, c.id)
	b = appendBytes(b, c.kind, c.body)
	return appendNumber(b, 6, uint64(c.timeoutMs))
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendGroup appends the first field of each request.
func appendGroup(b []byte, group string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), group)
}

// mostOverhead is what a request has besides its group, and command or query.
const mostOverhead = 64

// encodeSubmit makes a SubmitRequest. The session may be nil.
func encodeSubmit(group string, command []byte, session *messages.SessionCommand) []byte {
	b := appendGroup(make([]byte, 0, len(group)+len(command)+mostOverhead), group)
	b = appendBytes(b, 2, command)
	if session == nil {
		return b
	}
	id := session.Session.Bytes()
	size := 1 + protowire.SizeBytes(len(id)) + 1 + protowire.SizeVarint(session.Serial) + 1 + protowire.SizeVarint(session.Lowest)
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.BytesType), uint64(size))
	b = appendBytes(b, 1, id)
	return appendNumber(appendNumber(b, 2, session.Serial), 3, session.Lowest)
}

// encodeQuery makes a QueryRequest.
func encodeQuery(group string, how Read, query []byte) []byte {
	b := appendGroup(make([]byte, 0, len(group)+len(query)+mostOverhead), group)
	b = appendBytes(b, 2, query)
	b = appendNumber(b, 3, uint64(how.Consistency))
	b = appendNumber(b, 4, uint64(max(how.MaxStaleness.Milliseconds(), 0)))
	return appendNumber(b, 5, how.MinIndex)
}

// encodeOpen makes an OpenRequest.
func encodeOpen(group string, nonce uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(appendGroup(nil, group), 2, protowire.Fixed64Type), nonce)
}

// encodeClose makes a CloseRequest.
func encodeClose(group string, session messages.SessionID) []byte {
	return appendBytes(appendGroup(nil, group), 2, session.Bytes())
}

// inbound is what an ExchangeResponse brings.
type inbound struct {
	credit  int // 0: it is as before
	leader  string
	named   bool // leader is said
	answers []answered
}

// answered is an answer to a call.
type answered struct {
	id     uint64
	result Result               // of a command or a query
	other  *messages.CallAnswer // any other answer
}

// inboundCodec decodes what an Exchange brings. What it sends is an [outbound].
type inboundCodec struct{}

func (inboundCodec) Name() string { return "proto" }

func (inboundCodec) Marshal(any) ([]byte, error) {
	return nil, errors.New("an Exchange takes its calls from a stream")
}

var errMalformed = errors.New("the server's message is no ExchangeResponse: it may be of another version")

func (inboundCodec) Unmarshal(b []byte, message any) error {
	m := message.(*inbound)
	m.answers = make([]answered, 0, countAnswers(b))
	var arena protofields.Arena
	for len(b) > 0 {
		f, rest, ok := protofields.Next(b)
		if !ok {
			return errMalformed
		}
		b = rest
		switch {
		case f.Number == 1 && f.Bytes != nil:
			a, err := decodeAnswer(f.Bytes, &arena)
			if err != nil {
				return err
			}
			m.answers = append(m.answers, a)
		case f.Number == 3 && f.Bytes == nil:
			m.credit = int(min(f.Value, 1<<31-1))
		case f.Number == 4 && f.Bytes != nil:
			m.leader, m.named = string(f.Bytes), true
		}
	}
	return nil
}

func countAnswers(b []byte) (n int) {
	for len(b) > 0 {
		f, rest, ok := protofields.Next(b)
		if !ok {
			return n
		}
		if b = rest; f.Number == 1 {
			n++
		}
	}
	return n
}

func decodeAnswer(b []byte, arena *protofields.Arena) (a answered, err error) {
	common := false
	for rest := b; len(rest) > 0; {
		var f protofields.Field
		var ok bool
		if f, rest, ok = protofields.Next(rest); !ok {
			return a, errMalformed
		}
		switch {
		case f.Number == 1 && f.Bytes == nil:
			a.id = f.Value
		case (f.Number == submitCall || f.Number == queryCall) && f.Bytes != nil:
			common = true
			if a.result, ok = decodeResult(f.Bytes, arena); !ok {
				return a, errMalformed
			}
		}
	}
	if !common {
		a.other = &messages.CallAnswer{}
		err = proto.Unmarshal(b, a.other)
	}
	return a, err
}

// decodeResult is for a SubmitResponse or QueryResponse, whose fields have the same numbers.
func decodeResult(b []byte, arena *protofields.Arena) (r Result, ok bool) {
	for len(b) > 0 {
		var f protofields.Field
		if f, b, ok = protofields.Next(b); !ok {
			return r, false
		}
		switch {
		case f.Number == 1 && f.Bytes == nil:
			r.Index = f.Value
		case f.Number == 2 && f.Bytes != nil:
			r.Value = arena.Copy(f.Bytes)
		}
	}
	return r, true
}
