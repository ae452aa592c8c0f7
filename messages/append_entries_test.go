package messages

import (
	"bytes"
	"encoding/hex"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func drawAppendEntries(t *rapid.T) *AppendEntries {
	text, number := rapid.StringN(0, 8, -1), rapid.Uint64()
	m := &AppendEntries{
		PrevLogIndex: number.Draw(t, "index"), PrevLogTerm: number.Draw(t, "term"), LeaderCommit: number.Draw(t, "commit"),
		Round: number.Draw(t, "round"), ClientAddress: text.Draw(t, "address"), Checksum: rapid.Uint32().Draw(t, "checksum"),
		Entries: rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 9).Draw(t, "entries"),
	}
	if rapid.Bool().Draw(t, "has a header") {
		m.Header = &Header{
			ClusterId: number.Draw(t, "cluster"), StoreId: number.Draw(t, "store"), Term: number.Draw(t, "header term"),
			ToStoreId: number.Draw(t, "to store"),
			Group:     text.Draw(t, "group"), From: text.Draw(t, "from"), To: text.Draw(t, "to"),
		}
	}
	return m
}

// agree fails unless the decoder accepts and reads what protobuf does.
func agree(t interface{ Fatalf(string, ...any) }, b []byte) {
	b = bytes.Clone(b)
	got, err := UnmarshalAppendEntries(b)
	want := new(AppendEntries)
	wantErr := proto.Unmarshal(b, want)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%x: %v, but protobuf says %v", b, err, wantErr)
	}
	if err != nil {
		return
	}
	if !proto.Equal(got, want) || (got.Header == nil) != (want.Header == nil) {
		t.Fatalf("%x: %v, not %v", b, got, want)
	}
	for range 2 {
		for _, e := range got.Entries {
			if cap(e) != len(e) {
				t.Fatalf("%x: an append to an entry would overwrite the next", b)
			}
		}
		got.CloneEntries()
	}
	clear(b)
	if !proto.Equal(got, want) {
		t.Fatalf("%v after its bytes were reused, not %v", got, want)
	}
}

// A damaged message may have unknown fields whose tags take more bytes than they need: protobuf writes them anew.
func TestUnknownFieldsWithLongTags(t *testing.T) {
	b, err := hex.DecodeString("0a1829010000000000000030808080800139010000000000000022002200280130017d010000000a2a090100000000000000" +
		"1201411a01412205e1be88c2a62901000000000000000d013900008d0000000000")
	if err != nil {
		t.Fatal(err)
	}
	agree(t, b)
}

func TestDecodedAppendEntriesAreWhatProtobufMakesOfThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, err := proto.Marshal(drawAppendEntries(t))
		if err != nil {
			t.Fatal(err)
		}
		two, err := proto.Marshal(drawAppendEntries(t))
		if err != nil {
			t.Fatal(err)
		}
		b := append(one, two...) // two parts of one message
		for range rapid.IntRange(0, 2).Draw(t, "damages") {
			if len(b) > 0 {
				b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
		}
		agree(t, b)
	})
}

func FuzzUnmarshalAppendEntriesAgreesWithProtobuf(f *testing.F) {
	whole, err := proto.Marshal(&AppendEntries{
		Header:  &Header{Group: "g", From: "n1", To: "n2", Term: 3},
		Entries: [][]byte{{1, 2}, {}, {3}},
		Round:   300,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(protowire.AppendBytes([]byte{0x0a}, []byte{0x12, 1, 'h'}), whole...))
	f.Add([]byte{0x22, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x0a, 3, 0x12, 1, 0xff})                                  // no text
	f.Add([]byte{0x0b, 0x0c, 0x24, 0x12, 0})                               // groups and wrong wire types
	f.Add([]byte{0x82, 0x80, 0x80, 0x80, 0x80, 0, 0, 0xf8, 0xff, 0xff, 1}) // long tags
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, b) })
}

func TestAMarshalledHeadAndEntriesAreTheMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawAppendEntries(t)
		if rapid.Bool().Draw(t, "has unknown fields") {
			want.ProtoReflect().SetUnknown([]byte{0x50, 1})
		}
		b, err := want.MarshalHead([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range want.Entries {
			b = append(MarshalEntryHead(b, e), e...)
		}
		b, ok := bytes.CutPrefix(b, []byte("before"))
		got := new(AppendEntries)
		if err := proto.Unmarshal(b, got); err != nil || !ok || !proto.Equal(got, want) || len(b) != proto.Size(want) {
			t.Fatalf("%v, %v became %v", err, want, got)
		}
	})
	for _, m := range []*AppendEntries{{ClientAddress: "\xff"}, {Header: &Header{From: "\xff"}}} {
		if _, err := m.MarshalHead(nil); err == nil {
			t.Errorf("%v was encoded, which no peer could read", m)
		}
	}
}
