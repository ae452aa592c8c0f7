package messages

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden bytes of the present feature level, if there are none")

const goldenFile = "testdata/golden/level-%d.txt"

// golden is what one level wrote: the name of a message, what it says, and its bytes.
type golden struct {
	name, text string
	encoded    []byte
}

// What any level wrote is read by every later one, and the present level still writes what it wrote when it was new. A file is
// written once, with -write-golden, and never changed.
func TestGoldenBytesAreRead(t *testing.T) {
	present := fmt.Sprintf(goldenFile, Level)
	if *writeGolden {
		writeGoldenFile(t, present)
	}
	files, err := filepath.Glob("testdata/golden/level-*.txt")
	if err != nil || len(files) != Level {
		t.Fatalf("%d files for %d levels (%v): make the new one with -write-golden", len(files), Level, err)
	}
	for _, file := range files {
		for _, g := range readGoldenFile(t, file) {
			checkGolden(t, g, file == present)
		}
	}
	checkGoldenIsComplete(t, readGoldenFile(t, present))
}

func checkGolden(t *testing.T, g golden, present bool) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(g.name))
	if err != nil {
		t.Fatal(err)
	}
	want, got := kind.New().Interface(), kind.New().Interface()
	if err := prototext.Unmarshal([]byte(g.text), want); err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	if err := proto.Unmarshal(g.encoded, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("%s is read as %v (%v), not as %v", g.name, got, err, want)
	}
	if rpc, ok := got.(sealed); ok && !rpc.Intact() {
		t.Errorf("%s is not intact", g.name)
	}
	switch want := want.(type) {
	case *AppendEntries:
		if m, err := UnmarshalAppendEntries(g.encoded); err != nil || !proto.Equal(m, want) || !m.Intact() {
			t.Errorf("AppendEntries is read as %v (%v)", m, err)
		}
	case *Entry:
		e, err := DecodeEntry(g.encoded)
		if err != nil || !e.equals(want) {
			t.Errorf("an entry is read as %v (%v), not as %v", e, err, want)
		}
		if of := viewOf(want); present && !bytes.Equal(of.AppendTo(nil), g.encoded) {
			t.Errorf("the entry %v is written in other bytes than before", want)
		}
	}
	if again, err := (proto.MarshalOptions{Deterministic: true}).Marshal(want); present && (err != nil || !bytes.Equal(again, g.encoded)) {
		t.Errorf("%s is written in other bytes than before (%v): that needs a new feature level", g.name, err)
	}
}

// checkGoldenIsComplete demands all messages, one of each with something in every field, and all kinds of entries.
func checkGoldenIsComplete(t *testing.T, all []golden) {
	kinds, have := map[Entry_Kind]bool{}, map[string]bool{}
	for _, g := range all {
		if !have[g.name] {
			have[g.name] = bytes.Equal(g.encoded, encodedFull(t, g.name))
		}
		if e, err := DecodeEntry(g.encoded); g.name == "troupe.disk.v1.Entry" && err == nil {
			kinds[e.Kind] = true
		}
	}
	for n := range Entry_Kind_name {
		if !kinds[Entry_Kind(n)] {
			t.Errorf("there is no golden entry of kind %d", n)
		}
	}
	eachMessage(func(m protoreflect.MessageDescriptor) {
		if !have[string(m.FullName())] {
			t.Errorf("there is no golden %s with all of its fields: what is new needs a new feature level", m.FullName())
		}
	})
}

// eachMessage calls f for the types of all messages of troupe.
func eachMessage(f func(protoreflect.MessageDescriptor)) {
	for _, file := range []protoreflect.FileDescriptor{File_raft_proto, File_disk_proto, File_node_proto, File_client_proto} {
		for i := range file.Messages().Len() {
			f(file.Messages().Get(i))
		}
	}
}

// full is a message with something in every field.
func full(kind protoreflect.MessageDescriptor) proto.Message {
	m, err := protoregistry.GlobalTypes.FindMessageByName(kind.FullName())
	if err != nil {
		panic(err)
	}
	filled := m.New()
	fill(filled)
	if rpc, ok := filled.Interface().(sealed); ok {
		rpc.Seal()
	}
	return filled.Interface()
}

func encodedFull(t *testing.T, name string) []byte {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(full(kind.Descriptor()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fill(m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		switch field := m.Descriptor().Fields().Get(i); {
		case field.IsList() && field.Message() != nil:
			fill(m.Mutable(field).List().AppendMutable().Message())
		case field.IsList() && field.Kind() != protoreflect.BytesKind:
			m.Mutable(field).List().Append(something(field))
		case field.IsList():
			for _, text := range []string{"first", "", "third"} {
				m.Mutable(field).List().Append(protoreflect.ValueOfBytes([]byte(text)))
			}
		case field.Message() != nil:
			fill(m.Mutable(field).Message())
		default:
			m.Set(field, something(field))
		}
	}
}

func something(field protoreflect.FieldDescriptor) protoreflect.Value {
	n := uint64(field.Number())
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(field.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 0xff, byte(n)})
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 64)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(100 + n))
	default:
		return protoreflect.ValueOfUint64(1<<40 + n)
	}
}

func writeGoldenFile(t *testing.T, file string) {
	if _, err := os.Stat(file); err == nil {
		return
	}
	var all []proto.Message
	eachMessage(func(m protoreflect.MessageDescriptor) { all = append(all, full(m)) })
	for n := range int32(len(Entry_Kind_name)) {
		all = append(all, &Entry{Term: uint64(n) + 1, Kind: Entry_Kind(n), Data: []byte(Entry_Kind_name[n])})
	}
	all = append(all, &Entry{Term: 3})
	var b bytes.Buffer
	for _, m := range all {
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text := prototext.MarshalOptions{Multiline: true}.Format(m)
		fmt.Fprintf(&b, "= %s\n%s\n- %s\n", m.ProtoReflect().Descriptor().FullName(), strings.TrimSpace(text), hex.EncodeToString(encoded))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGoldenFile(t *testing.T, file string) (all []golden) {
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split("\n"+string(content), "\n= ")[1:] {
		name, rest, _ := strings.Cut(block, "\n")
		text, encoded, found := strings.Cut("\n"+rest, "\n- ")
		bytes, err := hex.DecodeString(strings.TrimSpace(encoded))
		if !found || err != nil {
			t.Fatalf("%s: %q: %v", file, block, err)
		}
		all = append(all, golden{name, text, bytes})
	}
	return all
}
