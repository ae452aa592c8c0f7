package transport

import (
	"bytes"
	"slices"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// post makes mail as the gate does.
func post(types typeSet, m proto.Message, target, sender *actor.PID) mail {
	t := Transport{types: types, address: "a:1", maxMessage: 1 << 30}
	var message any = m
	if sender != nil {
		message = &actor.MessageEnvelope{Message: m, Sender: sender}
	}
	admitted, why, ok := t.admit(target, message)
	if !ok {
		panic(why.String())
	}
	return admitted
}

func drawMail(t *rapid.T, types typeSet) mail {
	pid := func(address string) *actor.PID {
		id := rapid.SampledFrom([]string{"raft/g", "raft/h", "node"}).Draw(t, "id")
		return &actor.PID{Address: address, Id: id, RequestId: rapid.SampledFrom([]uint32{0, 0, 1 << 31}).Draw(t, "request")}
	}
	h := &messages.Header{Group: "g", Term: rapid.Uint64().Draw(t, "term")}
	m := rapid.SampledFrom([]proto.Message{
		&messages.RequestVote{Header: h}, &messages.RequestVoteReply{}, &messages.AppendEntriesReply{Header: h, MatchIndex: 9},
		&messages.AppendEntries{Header: h, Round: 300}, (*messages.RequestVote)(nil),
	}).Draw(t, "message")
	if a, ok := m.(*messages.AppendEntries); ok {
		for _, n := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 200, largeEntry, largeEntry + 1, 30_000}), 0, 5).Draw(t, "entries") {
			a.Entries = append(a.Entries, bytes.Repeat([]byte{byte(n + len(a.Entries))}, n))
		}
	}
	var sender *actor.PID
	if rapid.Bool().Draw(t, "has a sender") {
		sender = pid("a:1")
	}
	return post(types, m, pid("b:1"), sender)
}

// Protobuf and the guard of a peer read from a letter what went into it.
func TestALetterIsABatch(t *testing.T) {
	types := newTypeSet(testTypes)
	var l letter
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 2*letterMessages).Draw(t, "messages")
		mails := make([]mail, n)
		for i := range mails {
			mails[i] = drawMail(t, types)
		}
		for len(mails) > 0 {
			n := l.write(mails)
			if n == 0 || n > letterMessages || l.envelopes != n {
				t.Fatalf("%d messages were looked at, %d are in the letter", n, l.envelopes)
			}
			buffers, err := newLetterCodec().Marshal(&l)
			if err != nil {
				t.Fatal(err)
			}
			whole := buffers.Materialize()
			buffers.Free()
			checkBatchIs(t, types, whole, mails[:n])
			mails = mails[n:]
		}
	})
}

func checkBatchIs(t *rapid.T, types typeSet, whole []byte, want []mail) {
	var frame frame
	var plain remote.RemoteMessage
	if err := proto.Unmarshal(whole, &plain); err != nil {
		t.Fatal(err)
	}
	b := plain.GetMessageBatch()
	if err := frame.decode(whole, types); err != nil || !proto.Equal(frame.batch, b) {
		t.Fatalf("a peer's guard reads %v, %v; protobuf reads %v", frame.batch, err, b)
	}
	if len(b.Envelopes) != len(want) {
		t.Fatalf("%d envelopes, want %d", len(b.Envelopes), len(want))
	}
	for i, e := range b.Envelopes {
		w := want[i]
		got := w.kind.typ.New().Interface()
		if err := proto.Unmarshal(e.MessageData, got); err != nil || !proto.Equal(got, proto.Clone(w.message)) && w.size > 0 {
			t.Fatalf("message %d is %v, %v; want %v", i, got, err, w.message)
		}
		target := &actor.PID{Address: "b:1", Id: b.Targets[e.Target], RequestId: e.TargetRequestId}
		if b.TypeNames[e.TypeId] != w.kind.name || !target.Equal(w.target) || (e.Sender == 0) != (w.sender == nil) {
			t.Fatalf("envelope %d is %v, want %v", i, e, w)
		}
		if e.Sender > 0 {
			s := b.Senders[e.Sender-1]
			if sender := (&actor.PID{Address: s.Address, Id: s.Id, RequestId: e.SenderRequestId}); !sender.Equal(w.sender) {
				t.Fatalf("the sender of %d is %v, want %v", i, sender, w.sender)
			}
		}
	}
}

// A message that cannot be encoded costs only itself.
func TestWhatCannotBeEncodedIsLeftOut(t *testing.T) {
	types := newTypeSet(testTypes)
	target := actor.NewPID("b:1", "raft/g")
	good := post(types, &messages.RequestVote{Round: 5}, target, nil)
	noText := post(types, &messages.AppendEntriesReply{Error: "\xff"}, target, nil)
	large := post(types, &messages.AppendEntries{ClientAddress: "\xff", Entries: [][]byte{make([]byte, 2*largeEntry)}}, target, nil)
	changed := post(types, &messages.AppendEntries{Entries: [][]byte{make([]byte, 2*largeEntry)}}, target, nil)
	changed.message.(*messages.AppendEntries).Entries[0] = make([]byte, 3*largeEntry)
	grown := post(types, &messages.RequestVote{Header: &messages.Header{}}, target, nil)
	grown.message.(*messages.RequestVote).Header.Group = "g"
	var l letter
	if n := l.write([]mail{good, noText, large, changed, grown, good}); n != 6 || l.envelopes != 2 {
		t.Fatalf("%d were looked at, %d are in the letter", n, l.envelopes)
	}
	var f frame
	if err := f.decode(l.buffers.Materialize(), types); err != nil || len(f.batch.Envelopes) != 2 {
		t.Fatalf("%v, %v", f.batch, err)
	}
	for _, e := range f.batch.Envelopes {
		if m, err := f.message(e); err != nil || !proto.Equal(m, good.message) {
			t.Errorf("%v, %v", m, err)
		}
	}
}

// Large entries are not copied, and a letter without them takes nothing but its list of buffers from the heap.
func TestLettersAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	types := newTypeSet(testTypes)
	a := &messages.AppendEntries{Header: &messages.Header{Group: "g"}}
	target, sender := actor.NewPID("b:1", "raft/a group with a long name"), actor.NewPID("a:1", "raft/a group with a long name")
	for _, entries := range []int{1, 100, 400, 1300} { // up to 256 KiB, as much as one AppendEntries takes
		a.Entries = slices.Repeat([][]byte{make([]byte, 200)}, entries)
		mails := []mail{post(types, a, target, sender), post(types, &messages.RequestVote{}, target, sender)}
		var l letter
		write := func() { l.write(mails); l.buffers.Free() }
		if n := testing.AllocsPerRun(1000, write); n > 1 {
			t.Errorf("a letter with %d entries takes %v allocations", entries, n)
		}
	}
	var l letter
	entry := make([]byte, 1<<20)
	mails := []mail{post(types, &messages.AppendEntries{Entries: [][]byte{entry}}, target, sender)}
	l.write(mails)
	if len(l.buffers) != 3 || &l.buffers[1].ReadOnlyData()[0] != &entry[0] {
		t.Error("a large entry was copied")
	}
}

func BenchmarkLetter(b *testing.B) {
	types := newTypeSet(testTypes)
	a := &messages.AppendEntries{}
	for range 100 {
		a.Entries = append(a.Entries, make([]byte, 200))
	}
	mails := []mail{post(types, a, actor.NewPID("b:1", "raft/g"), actor.NewPID("a:1", "raft/g"))}
	var l letter
	b.ReportAllocs()
	for b.Loop() {
		l.write(mails)
		l.buffers.Free()
	}
}
