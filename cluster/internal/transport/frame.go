package transport

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// What a frame may hold. A letter has at most 64 envelopes. The parts of messages are counted because
// a part of two bytes, such as an empty entry, becomes 24 and more in memory.
const (
	maxEnvelopes = 256
	maxNames     = 256  // targets, senders and type names, each
	maxName      = 512  // bytes of an id, an address or a type name
	maxPIDs      = 4096 // PIDs that are remembered, of targets and of senders each
	maxParts     = 1 << 18
	maxGreeting  = 4 << 10 // bytes of a ConnectRequest
)

// A frame is a RemoteMessage while the guard has it. It is decoded strictly, and bounded before anything is allocated for it. The
// message data stays in the receive buffer, and the envelopes are reused: all of it is valid until release. Two things outlive the
// frame: the PIDs, which later frames use again, and log entries, if most of the frame is log entries.
type frame struct {
	greeting *remote.ConnectRequest // or batch
	batch    *remote.MessageBatch
	refused  *refusal // why there is neither; gRPC keeps only the text of a codec's error

	types   []*wireType  // those of batch.TypeNames
	targets []*actor.PID // those of batch.Targets

	buffer    mem.Buffer // borrowed from gRPC's pool, or nil
	data      []byte
	envelopes []remote.MessageEnvelope
	reused    remote.MessageBatch

	address                    string // of the targets: this node's
	knownTargets, knownSenders pidCache
}

// release gives the receive buffer back.
func (f *frame) release() {
	for i := range f.reused.Envelopes {
		f.reused.Envelopes[i].MessageData = nil
	}
	f.data = nil
	if f.buffer != nil {
		f.buffer.Free()
		f.buffer = nil
	}
}

// mostly says whether log entries may stay in the frame's memory. The memory must not be borrowed, and at least half of it must
// be log entries: they keep whatever else the peer put into it.
func (f *frame) mostly(entries [][]byte) bool {
	size := 0
	for _, e := range entries {
		size += len(e)
	}
	return f.buffer == nil && 2*size >= len(f.data)
}

// A pidCache has the PIDs that a stream has brought, by their encoding.
type pidCache map[string]*actor.PID

// add forgets all others when there are many: a peer has few, unless it is hostile.
func (c *pidCache) add(encoded []byte, pid *actor.PID) {
	if len(encoded) > 2*maxName {
		return
	}
	if *c == nil || len(*c) >= maxPIDs {
		*c = pidCache{}
	}
	(*c)[string(encoded)] = pid
}

// A refusal is why the guard closes a stream.
type refusal struct {
	why    Refusal
	detail string
}

func (r *refusal) Error() string { return r.why.String() + ": " + r.detail }

func refuse(why Refusal, format string, args ...any) *refusal {
	return &refusal{why, fmt.Sprintf(format, args...)}
}

// frameCodec is the server's codec: it decodes frames and nothing else, so that no other request is decoded at all.
type frameCodec struct {
	encoding.CodecV2
	types    typeSet
	counters *counters
}

func newFrameCodec(types typeSet, k *counters) frameCodec {
	return frameCodec{encoding.GetCodecV2(proto.Name), types, k}
}

// Unmarshal decodes into a frame.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		c.counters.refused[RefusedUnary].Add(1)
		return refuse(RefusedUnary, "%T is not served", v)
	}
	f.release()
	f.greeting, f.batch, f.refused = nil, nil, nil
	f.take(data)
	err := f.decode(f.data, c.types)
	errors.As(err, &f.refused)
	return err
}

// take borrows a short frame, which is one buffer of gRPC's pool. It copies a long frame, which comes in many buffers, into memory
// in which its log entries can stay.
func (f *frame) take(data mem.BufferSlice) {
	if len(data) == 1 {
		data[0].Ref()
		f.buffer, f.data = data[0], data[0].ReadOnlyData()
		return
	}
	f.data = data.Materialize()
}

// decode reads a RemoteMessage: exactly one ConnectRequest or one MessageBatch.
func (f *frame) decode(b []byte, types typeSet) error {
	number, typ, n := protowire.ConsumeTag(b)
	if n < 0 || typ != protowire.BytesType {
		return refuse(RefusedMalformed, "a frame without a message")
	}
	body, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || n+m != len(b) {
		return refuse(RefusedMalformed, "a frame that holds more or less than one message")
	}
	switch number {
	case 1:
		return f.decodeBatch(body, types)
	case 2:
		return f.decodeGreeting(body)
	}
	return refuse(RefusedMalformed, "a frame of kind %d", number)
}

// decodeGreeting reads a ConnectRequest with a ServerConnection; the block list of its sender is of no interest.
func (f *frame) decodeGreeting(b []byte) error {
	if len(b) > maxGreeting {
		return refuse(RefusedLimit, "a greeting of %d bytes", len(b))
	}
	number, typ, n := protowire.ConsumeTag(b)
	if n < 0 || typ != protowire.BytesType || number != 2 {
		return refuse(RefusedMalformed, "a greeting that is not a node's")
	}
	body, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || n+m != len(b) {
		return refuse(RefusedMalformed, "a greeting that holds more or less than one node")
	}
	c := new(remote.ServerConnection)
	err := eachField(body, func(number protowire.Number, typ protowire.Type, data []byte, _ uint64) error {
		var err error
		switch number {
		case 1:
			c.MemberId, err = name(typ, data)
		case 2:
			c.Address, err = name(typ, data)
		case 3:
			_, err = name(typ, data)
		default:
			err = refuse(RefusedMalformed, "field %d in a greeting", number)
		}
		return err
	})
	if err != nil {
		return err
	}
	f.greeting = &remote.ConnectRequest{ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: c}}
	return nil
}

// decodeBatch counts first, then decodes.
func (f *frame) decodeBatch(b []byte, types typeSet) error {
	var counts [5]int
	if err := eachField(b, func(number protowire.Number, typ protowire.Type, _ []byte, _ uint64) error {
		if number > 4 || typ != protowire.BytesType {
			return refuse(RefusedMalformed, "field %d in a batch", number)
		}
		limit := maxNames
		if number == 3 {
			limit = maxEnvelopes
		}
		if counts[number]++; counts[number] > limit {
			return refuse(RefusedLimit, "more than %d of field %d in a batch", limit, number)
		}
		return nil
	}); err != nil {
		return err
	}
	if cap(f.envelopes) < counts[3] {
		f.envelopes = make([]remote.MessageEnvelope, maxEnvelopes)
	}
	batch := &f.reused
	batch.Envelopes, batch.TypeNames = batch.Envelopes[:0], batch.TypeNames[:0]
	batch.Targets, batch.Senders = batch.Targets[:0], batch.Senders[:0]
	f.types, f.targets = f.types[:0], f.targets[:0]
	parts := 0
	err := eachField(b, func(number protowire.Number, typ protowire.Type, data []byte, _ uint64) error {
		switch number {
		case 1:
			known, ok := types.byName[string(data)]
			if !ok {
				return refuse(RefusedType, "messages of type %.80q", data)
			}
			batch.TypeNames, f.types = append(batch.TypeNames, known.name), append(f.types, known)
		case 2:
			target, err := f.decodeTarget(typ, data)
			if err != nil {
				return err
			}
			batch.Targets, f.targets = append(batch.Targets, target.Id), append(f.targets, target)
		case 3:
			e := &f.envelopes[len(batch.Envelopes)]
			if err := decodeEnvelope(e, data, &parts); err != nil {
				return err
			}
			batch.Envelopes = append(batch.Envelopes, e)
		case 4:
			sender, err := f.decodeSender(data)
			if err != nil {
				return err
			}
			batch.Senders = append(batch.Senders, sender)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.batch = batch
	return nil
}

func decodeEnvelope(e *remote.MessageEnvelope, b []byte, parts *int) error {
	e.TypeId, e.Target, e.Sender, e.SerializerId, e.TargetRequestId, e.SenderRequestId = 0, 0, 0, 0, 0, 0
	e.MessageData, e.MessageHeader = nil, nil
	return eachField(b, func(number protowire.Number, typ protowire.Type, data []byte, value uint64) error {
		switch number {
		case 2:
			if typ == protowire.BytesType {
				e.MessageData = data
				return countParts(data, parts)
			}
		case 6:
			return refuse(RefusedHeader, "an envelope with headers")
		case 1, 3, 4, 5:
			if typ == protowire.VarintType {
				v := int32(value)
				switch number {
				case 1:
					e.TypeId = v
				case 3:
					e.Target = v
				case 4:
					e.Sender = v
				case 5:
					e.SerializerId = v
				}
				return nil
			}
		case 7, 8:
			if typ == protowire.VarintType && value <= math.MaxUint32 {
				if number == 7 {
					e.TargetRequestId = uint32(value)
				} else {
					e.SenderRequestId = uint32(value)
				}
				return nil
			}
		}
		return refuse(RefusedMalformed, "field %d in an envelope", number)
	})
}

func (f *frame) decodeTarget(typ protowire.Type, b []byte) (*actor.PID, error) {
	if pid := f.knownTargets[string(b)]; pid != nil {
		return pid, nil
	}
	id, err := name(typ, b)
	if err != nil {
		return nil, err
	}
	pid := actor.NewPID(f.address, id)
	f.knownTargets.add(b, pid)
	return pid, nil
}

func (f *frame) decodeSender(b []byte) (*actor.PID, error) {
	if pid := f.knownSenders[string(b)]; pid != nil {
		return pid, nil
	}
	pid := new(actor.PID)
	err := eachField(b, func(number protowire.Number, typ protowire.Type, data []byte, value uint64) error {
		var err error
		switch {
		case number == 1:
			pid.Address, err = name(typ, data)
		case number == 2:
			pid.Id, err = name(typ, data)
		case number == 3 && typ == protowire.VarintType:
			pid.RequestId = uint32(value)
		default:
			err = refuse(RefusedMalformed, "field %d in a sender", number)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	f.knownSenders.add(b, pid)
	return pid, nil
}

// countParts counts the outermost fields of a message, whatever its type.
func countParts(b []byte, parts *int) error {
	return eachField(b, func(protowire.Number, protowire.Type, []byte, uint64) error {
		if *parts++; *parts > maxParts {
			return refuse(RefusedLimit, "messages of more than %d parts in a frame", maxParts)
		}
		return nil
	})
}

// eachField calls f for every field, with the content of a length-delimited field or the value of a varint. Fields of fixed
// length come with neither. Groups are refused, since they nest.
func eachField(b []byte, f func(number protowire.Number, typ protowire.Type, data []byte, value uint64) error) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return refuse(RefusedMalformed, "a torn field")
		}
		b = b[n:]
		var data []byte
		var value uint64
		switch typ {
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			_, n = protowire.ConsumeFixed32(b)
		case protowire.Fixed64Type:
			_, n = protowire.ConsumeFixed64(b)
		default:
			return refuse(RefusedMalformed, "a field of wire type %d", typ)
		}
		if n < 0 {
			return refuse(RefusedMalformed, "a torn field")
		}
		b = b[n:]
		if err := f(number, typ, data, value); err != nil {
			return err
		}
	}
	return nil
}

func name(typ protowire.Type, b []byte) (string, error) {
	switch {
	case typ != protowire.BytesType || !utf8.Valid(b):
		return "", refuse(RefusedMalformed, "a name that is no text")
	case len(b) > maxName:
		return "", refuse(RefusedLimit, "a name of %d bytes", len(b))
	}
	return string(b), nil
}
