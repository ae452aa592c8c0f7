package messages

import (
	"bytes"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

func TestEncodedEntriesAreWhatProtobufMakesOfThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &Entry{
			Term: rapid.Uint64().Draw(t, "term"),
			Kind: Entry_Kind(rapid.Int32Range(0, 6).Draw(t, "kind")),
			Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		}
		for _, field := range []*uint64{&e.Time, &e.Session, &e.Nonce, &e.Serial, &e.Lowest} {
			*field = rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "field")
		}
		want, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		of := viewOf(e)
		got := of.AppendTo(nil)
		if !bytes.Equal(got, want) || len(got) != of.Size() {
			t.Fatalf("%x of %d bytes, not %x", got, of.Size(), want)
		}
		if view, err := DecodeEntry(got); err != nil || !view.equals(e) {
			t.Fatalf("%+v became %+v, %v", e, view, err)
		}
	})
}

func viewOf(e *Entry) EntryView {
	return EntryView{
		Term: e.Term, Kind: e.Kind, Data: e.Data, Time: e.Time,
		Session: SessionCommand{SessionID{e.Session, e.Nonce}, e.Serial, e.Lowest},
	}
}

func (e EntryView) equals(m *Entry) bool {
	data := e.Data
	e.Data = nil
	other := viewOf(m)
	other.Data = nil
	return reflect.DeepEqual(e, other) && bytes.Equal(data, m.Data)
}

func FuzzDecodeEntryAgreesWithProtobuf(f *testing.F) {
	f.Add(EncodeEntry(7, Entry_KIND_COMMAND, []byte("x")))
	f.Add([]byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		view, err := DecodeEntry(b)
		var e Entry
		if wantErr := proto.Unmarshal(b, &e); (err == nil) != (wantErr == nil) {
			t.Fatalf("%x: %v, but protobuf says %v", b, err, wantErr)
		} else if err == nil && !view.equals(&e) {
			t.Fatalf("%x: %+v, not %+v", b, view, &e)
		}
	})
}

type sealed interface {
	proto.Message
	Seal()
	Intact() bool
}

func allRPCs() []sealed {
	return []sealed{
		&RequestVote{}, &RequestVoteReply{}, &TimeoutNow{}, &AppendEntries{}, &AppendEntriesReply{},
		&InstallSnapshot{}, &InstallSnapshotReply{},
		&Forward{}, &ForwardReply{}, &ReadIndex{}, &ReadIndexReply{},
	}
}

// A field that the checksum forgot would change nothing.
func TestChecksumCoversEveryField(t *testing.T) {
	for _, m := range allRPCs() {
		m.ProtoReflect().Mutable(m.ProtoReflect().Descriptor().Fields().ByName("header"))
		m.Seal()
		if !m.Intact() {
			t.Fatalf("%T is not intact", m)
		}
		changeEachField(t, m, m.ProtoReflect())
	}
}

func changeEachField(t *testing.T, m sealed, in protoreflect.Message) {
	fields := in.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.IsList() && field.Message() != nil {
			element := in.Mutable(field).List().AppendMutable().Message()
			m.Seal()
			changeEachField(t, m, element)
			in.Clear(field)
			m.Seal()
			continue
		}
		if field.Message() != nil {
			changeEachField(t, m, in.Mutable(field).Message())
			continue
		}
		if field.IsList() {
			in.Mutable(field).List().Append(protoreflect.ValueOfBytes(nil))
		} else {
			in.Set(field, other(field.Kind()))
		}
		if m.Intact() {
			t.Errorf("%T: the checksum does not cover %s", m, field.FullName())
		}
		in.Clear(field)
		m.Seal()
	}
}

func other(kind protoreflect.Kind) protoreflect.Value {
	switch kind {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("x"))
	case protoreflect.Fixed32Kind, protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	default:
		return protoreflect.ValueOfUint64(1)
	}
}

// The checksum can be computed from what is on the wire alone, by whoever does not know all of its fields.
func TestUnknownFieldsAreCovered(t *testing.T) {
	strange := protowire.AppendString(protowire.AppendTag(nil, 100, protowire.BytesType), "of a newer version")
	for _, long := range []string{"g", strings.Repeat("g", 200), strings.Repeat("g", 20_000)} {
		for _, kind := range allRPCs() {
			m := full(kind.ProtoReflect().Descriptor()).(sealed)
			h := m.(interface{ GetHeader() *Header }).GetHeader()
			h.Group = long
			h.ProtoReflect().SetUnknown(strange)
			m.ProtoReflect().SetUnknown(strange)
			wire := sealedByHand(t, m)
			got := m.ProtoReflect().New().Interface().(sealed)
			if err := proto.Unmarshal(wire, got); err != nil || !got.Intact() {
				t.Errorf("%T is not intact: %v", m, err)
			}
			if _, ok := got.(*AppendEntries); ok {
				if m, err := UnmarshalAppendEntries(wire); err != nil || !m.Intact() {
					t.Errorf("%T, decoded: %v", m, err)
				}
			}
			got.ProtoReflect().SetUnknown(nil)
			if got.Intact() {
				t.Errorf("%T: the checksum does not cover what is unknown", m)
			}
		}
	}
}

// sealedByHand is the encoding of a message with the checksum that the encoding has without it: fields in the order of their numbers,
// unknown ones behind them, and entries or a chunk last.
func sealedByHand(t *testing.T, m sealed) []byte {
	fields := m.ProtoReflect().Descriptor().Fields()
	rest := proto.Clone(m)
	rest.ProtoReflect().Clear(fields.ByName("checksum"))
	var entries []byte
	if a, ok := rest.(*AppendEntries); ok {
		for _, e := range a.Entries {
			entries = append(MarshalEntryHead(entries, e), e...)
		}
		a.Entries = nil
	}
	if s, ok := rest.(*InstallSnapshot); ok {
		entries = protowire.AppendBytes(protowire.AppendTag(nil, 8, protowire.BytesType), s.Data)
		s.Data = nil
	}
	unsealed, err := proto.MarshalOptions{Deterministic: true}.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	unsealed = append(unsealed, entries...)
	sum := crc32.Checksum(unsealed, castagnoli)
	return protowire.AppendFixed32(protowire.AppendTag(unsealed, 15, protowire.Fixed32Type), sum)
}

// Whatever single bit is flipped on the way, the message is not taken for intact (N-04).
func TestNoFlippedBitGoesUnnoticed(t *testing.T) {
	h := &Header{ClusterId: 1 << 60, Group: "g", From: "n1", To: "n2", StoreId: 3, Term: 4, ToStoreId: 5}
	entries := [][]byte{EncodeEntry(4, 0, []byte("abc")), EncodeEntry(4, 0, nil)}
	for _, m := range []sealed{
		&RequestVote{Header: h, PreVote: true, LastLogIndex: 5, LastLogTerm: 4, Round: 6},
		&RequestVoteReply{Header: h, Granted: true, Round: 6},
		&AppendEntries{Header: h, PrevLogIndex: 5, PrevLogTerm: 4, LeaderCommit: 5, Round: 7, Entries: entries},
		&AppendEntriesReply{Header: h, Success: true, MatchIndex: 9, Round: 7},
		&InstallSnapshot{Header: h, LastIncludedIndex: 5, LastIncludedTerm: 4, Bytes: 9, Digest: []byte("digest"), Data: []byte("data")},
		&InstallSnapshotReply{Header: h, LastIncludedIndex: 5, Digest: []byte("digest"), Offset: 8, Round: 7},
	} {
		m.Seal()
		whole, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(whole) {
			damaged := bytes.Clone(whole)
			damaged[bit/8] ^= 1 << (bit % 8)
			got := m.ProtoReflect().New().Interface().(sealed)
			if proto.Unmarshal(damaged, got) == nil && got.Intact() && !proto.Equal(got, m) {
				t.Fatalf("%T: bit %d flipped goes unnoticed: %v", m, bit, got)
			}
		}
	}
}
