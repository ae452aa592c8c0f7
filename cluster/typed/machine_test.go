package typed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
)

// The protocol of a notebook: a note's name and text are fields of a command, a result counts notes, an answer has all notes.
var notebook = Protocol[*structpb.Struct, *wrapperspb.UInt64Value, *wrapperspb.StringValue, *structpb.Struct]{}

type notes struct{ all *structpb.Struct }

func newNotes() *notes { return &notes{&structpb.Struct{Fields: map[string]*structpb.Value{}}} }

func (n *notes) Apply(c *structpb.Struct) (*wrapperspb.UInt64Value, error) {
	if len(c.Fields) == 0 {
		return nil, errors.New("there is no note in it")
	}
	for name, text := range c.Fields {
		n.all.Fields[name] = text
	}
	return wrapperspb.UInt64(uint64(len(n.all.Fields))), nil
}

func (n *notes) Query(_ context.Context, prefix *wrapperspb.StringValue) (*structpb.Struct, error) {
	found := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, text := range n.all.Fields {
		if strings.HasPrefix(name, prefix.Value) {
			found.Fields[name] = text
		}
	}
	return found, nil
}

func (n *notes) Snapshot() (actors.View, error) {
	b, err := proto.Marshal(n.all)
	return actors.ViewOf(b), err
}

func (n *notes) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	n.all = &structpb.Struct{}
	return proto.Unmarshal(b, n.all)
}

func note(t testing.TB, of map[string]any) *structpb.Struct {
	c, err := structpb.NewStruct(of)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func apply(sm actors.StateMachine, commands ...[]byte) []actors.Result {
	entries := make([]actors.Entry, len(commands))
	for i, c := range commands {
		entries[i] = actors.Entry{Index: uint64(i + 1), Command: c}
	}
	return slices.Clone(sm.Apply(entries))
}

// state is what a state machine answers to somebody who asks for all.
func state(t testing.TB, sm actors.StateMachine) []byte {
	answer, err := sm.Query(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestStateMachineSpeaksProtobuf(t *testing.T) {
	sm := notebook.StateMachine(newNotes())
	one, two := note(t, map[string]any{"a": "x", "b": []any{1, "y"}}), note(t, map[string]any{"c": map[string]any{"d": true}})
	commands := make([][]byte, 3)
	for i, m := range []proto.Message{one, &structpb.Struct{}, two} {
		commands[i], _ = proto.Marshal(m)
	}
	results := apply(sm, commands...)
	for i, want := range map[int]uint64{0: 2, 2: 3} {
		if r, err := decode[*wrapperspb.UInt64Value](results[i].Value); err != nil || r.Value != want || results[i].Err != nil {
			t.Errorf("result %d: %v, %v", i, r, err)
		}
	}
	if err := results[1].Err; err == nil || err.Error() != "there is no note in it" {
		t.Error(err)
	}
	if _, err := sm.Query(t.Context(), []byte{0xff}); !errors.Is(err, actors.ErrMalformedRead) || !errors.Is(err, ErrNoSuchMessage) {
		t.Error(err)
	}

	view, err := sm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if _, err := view.WriteTo(&written); err != nil {
		t.Fatal(err)
	}
	restored := notebook.StateMachine(newNotes())
	if err := restored.Restore(&written); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(state(t, restored), state(t, sm)) {
		t.Error("the state was not restored")
	}
	if name := sm.(actors.Named).MachineName(); name != "*typed.notes" {
		t.Error(name)
	}
	if name := notebook.StateMachine(named{newNotes()}).(actors.Named).MachineName(); name != "the notebook" {
		t.Error(name)
	}
}

type named struct{ *notes }

func (named) MachineName() string { return "the notebook" }

// mute answers with text that protobuf cannot send.
type mute struct{ *notes }

func (mute) Query(context.Context, *wrapperspb.StringValue) (*structpb.Struct, error) {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"\xff": nil}}, nil
}

func TestAnswersThatCannotBeSent(t *testing.T) {
	protocol := Protocol[*wrapperspb.StringValue, *wrapperspb.StringValue, *wrapperspb.StringValue, *wrapperspb.StringValue]{}
	r := apply(protocol.StateMachine(broken{}), nil)
	if r[0].Err != nil {
		t.Error("a command that took effect is rejected:", r[0].Err)
	}
	for name, read := range map[string]func() error{
		"a message": func() error { _, err := protocol.Result(&client.Reply{Value: r[0].Value}); return err },
		"none":      func() error { _, err := decodeResult[*emptypb.Empty](r[0].Value); return err },
	} {
		if err := read(); !errors.Is(err, client.ErrAnswerNotKept) || !errors.Is(err, actors.ErrAnswerNotKept) ||
			!errors.Is(err, ErrNoSuchMessage) || errors.Is(err, client.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := notebook.StateMachine(mute{newNotes()}).Query(t.Context(), nil); err == nil {
		t.Error("an answer")
	}
}

type broken struct{}

func (broken) Apply(*wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("\xff"), nil
}
func (broken) Query(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return nil, nil
}
func (broken) Snapshot() (actors.View, error) { return actors.ViewOf(nil), nil }
func (broken) Restore(io.Reader) error        { return nil }

// A command with a field that is not known here, at any depth, is no command: another node might know it.
func TestUnknownFieldsAreRejected(t *testing.T) {
	strange := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	spoil := func(m proto.Message) { m.ProtoReflect().SetUnknown(strange) }
	for name, spoiled := range map[string]func(*structpb.Struct){
		"at the top":    func(s *structpb.Struct) { spoil(s) },
		"in a map":      func(s *structpb.Struct) { spoil(s.Fields["a"]) },
		"in a message":  func(s *structpb.Struct) { spoil(s.Fields["a"].GetListValue()) },
		"in a list":     func(s *structpb.Struct) { spoil(s.Fields["a"].GetListValue().Values[1]) },
		"in a list, on": func(s *structpb.Struct) { spoil(s.Fields["a"].GetListValue().Values[1].GetStructValue().Fields["b"]) },
	} {
		c := note(t, map[string]any{"a": []any{1, map[string]any{"b": 2}}, "c": "d"})
		good, _ := proto.Marshal(c)
		spoiled(c)
		bad, _ := proto.Marshal(c)
		results := apply(notebook.StateMachine(newNotes()), bad, good)
		if !errors.Is(results[0].Err, ErrNoSuchMessage) || results[1].Err != nil {
			t.Errorf("%s: %v, %v", name, results[0].Err, results[1].Err)
		}
	}
}

// Any bytes have the same result on every node, in whatever batches they come.
func TestAnyBytesHaveOneResult(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c, _ := proto.Marshal(note(t, map[string]any{"a": []any{1, map[string]any{"b": "c"}}, "d": nil, "e": "f"}))
	one, other := notebook.StateMachine(newNotes()), notebook.StateMachine(newNotes())
	var rejected, applied int
	for range 20 {
		commands := make([][]byte, 500)
		var singly []actors.Result
		for i := range commands {
			if commands[i] = slices.Clone(c); i%2 == 0 {
				commands[i][random.IntN(len(c))] = byte(random.Uint32())
			} else {
				commands[i] = commands[i][:random.IntN(40)]
				for j := range commands[i] {
					commands[i][j] = byte(random.Uint32())
				}
			}
			singly = append(singly, apply(other, commands[i])...)
		}
		for i, r := range apply(one, commands...) {
			if !bytes.Equal(r.Value, singly[i].Value) || (r.Err == nil) != (singly[i].Err == nil) {
				t.Fatalf("%x: %v and %v", commands[i], r, singly[i])
			}
			switch {
			case r.Err == nil:
				applied++
			case errors.Is(r.Err, ErrNoSuchMessage):
				rejected++
				if text := "the bytes are no such message: no google.protobuf.Struct"; r.Err.Error() != text {
					t.Fatal(r.Err)
				}
			}
		}
	}
	if !bytes.Equal(state(t, one), state(t, other)) {
		t.Error("the states differ")
	}
	if rejected < 1000 || applied < 1000 {
		t.Errorf("%d rejected, %d applied: the test has lost its edge", rejected, applied)
	}
}

func FuzzStateMachine(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		sm := notebook.StateMachine(newNotes())
		_ = apply(sm, b)
		_, _ = sm.Query(t.Context(), b)
	})
}
