package transport

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// wipingPool wipes what is given back.
type wipingPool struct{ puts int }

func (p *wipingPool) Get(n int) *[]byte { b := make([]byte, n); return &b }

func (p *wipingPool) Put(b *[]byte) { clear(*b); p.puts++ }

func fullBatch() *remote.MessageBatch {
	data := encode(&messages.AppendEntries{Entries: [][]byte{bytes.Repeat([]byte{7}, 4000)}})
	return &remote.MessageBatch{
		TypeNames: []string{"troupe.raft.v1.AppendEntries", "troupe.raft.v1.RequestVote"},
		Targets:   []string{"raft/g", "node"},
		Senders:   []*actor.PID{{Address: "a:1", Id: "raft/g", RequestId: 3}, {Address: "a:1", Id: "x"}},
		Envelopes: []*remote.MessageEnvelope{
			{TypeId: 0, MessageData: data, Target: 0, Sender: 1},
			{TypeId: 1, MessageData: nil, Target: 1, Sender: 2, TargetRequestId: 5, SenderRequestId: 1<<32 - 1},
			{TypeId: -1, Target: -5, Sender: 1 << 30, SerializerId: 9},
		},
	}
}

// What the strict decoder accepts, it decodes as protobuf does.
func TestDecodingEqualsProtobuf(t *testing.T) {
	types := newTypeSet(testTypes)
	var f frame
	for range 2 { // a frame is reused
		for _, want := range []*remote.MessageBatch{fullBatch(), {}, {Envelopes: []*remote.MessageEnvelope{{}}}} {
			f.greeting, f.batch = nil, nil
			if err := f.decode(batch(want), types); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(f.batch, want) {
				t.Errorf("decoded %v, want %v", f.batch, want)
			}
		}
	}
	f.greeting = nil
	err := f.decode(greeting("a:1"), types)
	if c := f.greeting.GetServerConnection(); err != nil || c.GetAddress() != "a:1" || c.GetMemberId() != "m" {
		t.Errorf("the greeting: %v, %v", f.greeting, err)
	}
}

// A borrowed receive buffer lives until the frame is released, or the next one is read.
func TestTheBufferOutlivesTheBatch(t *testing.T) {
	var k counters
	codec := newFrameCodec(newTypeSet(testTypes), &k)
	pool := new(wipingPool)
	var f frame
	for n := range 3 {
		b := batch(fullBatch())
		data := mem.BufferSlice{mem.NewBuffer(&b, pool)}
		if err := codec.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		data.Free() // as gRPC does
		if pool.puts != n {
			t.Errorf("after frame %d, %d buffers were given back", n, pool.puts)
		}
		if !proto.Equal(f.batch, fullBatch()) {
			t.Error("the batch was damaged")
		}
	}
	f.release()
	f.release()
	if pool.puts != 3 {
		t.Errorf("%d buffers were given back, want 3", pool.puts)
	}
}

// Entries outlive the receive buffer, and keep no more than about twice their own size.
func TestEntriesOutliveTheFrame(t *testing.T) {
	entry := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	for what, test := range map[string]struct {
		sizes   []int // of the entries, each in a message
		pieces  int   // in which the frame comes
		padding int   // bytes of a field that nobody knows
		owned   bool
	}{
		"one borrowed buffer":                    {sizes: []int{4000}, pieces: 1},
		"several buffers, one message":           {sizes: []int{60_000}, pieces: 4, owned: true},
		"several buffers, small messages":        {sizes: []int{9000, 9000, 9000}, pieces: 2},
		"several buffers, much that is no entry": {sizes: []int{1000}, padding: 60_000, pieces: 4},
		"no entries":                             {sizes: []int{}, pieces: 1},
	} {
		b := &remote.MessageBatch{TypeNames: []string{"troupe.raft.v1.AppendEntries"}, Targets: []string{"raft/g"}}
		for _, n := range test.sizes {
			data := encode(&messages.AppendEntries{Entries: [][]byte{entry(n), {}}})
			data = protowire.AppendBytes(protowire.AppendTag(data, 100, protowire.BytesType), make([]byte, test.padding))
			b.Envelopes = append(b.Envelopes, &remote.MessageEnvelope{MessageData: data})
		}
		whole, pool := batch(b), new(wipingPool)
		var data mem.BufferSlice
		for i := range test.pieces {
			piece := bytes.Clone(whole[i*len(whole)/test.pieces : (i+1)*len(whole)/test.pieces])
			data = append(data, mem.NewBuffer(&piece, pool))
		}
		var k counters
		f := frame{address: "a:1"}
		if err := newFrameCodec(newTypeSet(testTypes), &k).Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		data.Free() // as gRPC does
		var got []*messages.AppendEntries
		for _, e := range f.batch.Envelopes {
			m, err := f.message(e)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.(*messages.AppendEntries))
			if f.mostly(got[len(got)-1].Entries) != test.owned {
				t.Errorf("%s: owned is %v", what, !test.owned)
			}
		}
		f.release()
		for i, n := range test.sizes {
			if !bytes.Equal(got[i].Entries[0], entry(n)) || len(got[i].Entries[1]) != 0 {
				t.Errorf("%s: an entry was damaged", what)
			}
		}
	}
}

// However many PIDs a peer invents, few are remembered.
func TestRememberedPIDsAreBounded(t *testing.T) {
	types := newTypeSet(testTypes)
	f := frame{address: "b:1"}
	for n := range 3 * maxPIDs / maxNames {
		b := &remote.MessageBatch{}
		for i := range maxNames {
			name := fmt.Sprint("raft/", n*maxNames+i)
			b.Targets, b.Senders = append(b.Targets, name), append(b.Senders, &actor.PID{Address: "a:1", Id: name})
		}
		if err := f.decode(batch(b), types); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(f.batch, b) || f.targets[0].Id != b.Targets[0] || f.targets[0].Address != "b:1" {
			t.Fatalf("decoded %v", f.batch)
		}
		if len(f.knownTargets) > maxPIDs || len(f.knownSenders) > maxPIDs {
			t.Fatalf("%d targets and %d senders are remembered", len(f.knownTargets), len(f.knownSenders))
		}
	}
	padded := bytes.Repeat([]byte{0x0a, 1, 'a'}, 2*maxName) // one short address, given many times
	before := len(f.knownSenders)
	if pid, err := f.decodeSender(padded); err != nil || pid.Address != "a" || len(f.knownSenders) != before {
		t.Errorf("a padded sender: %v, %v; %d remembered, %d before", pid, err, len(f.knownSenders), before)
	}
}

// Whatever arrives, decoding neither panics nor builds something with more parts than the limits allow.
func FuzzDecode(f *testing.F) {
	f.Add(batch(fullBatch()))
	f.Add(greeting("a:1"))
	f.Add(many(3, 300))
	types := newTypeSet(testTypes)
	f.Fuzz(func(t *testing.T, b []byte) {
		var got frame
		if got.decode(b, types) != nil {
			return
		}
		want := new(remote.RemoteMessage)
		if err := proto.Unmarshal(b, want); err != nil {
			t.Fatalf("protobuf does not understand what was accepted: %v", err)
		}
		if (got.batch == nil) == (got.greeting == nil) {
			t.Fatal("neither a batch nor a greeting, or both")
		}
		if got.batch != nil {
			if !proto.Equal(got.batch, want.GetMessageBatch()) {
				t.Errorf("decoded %v, want %v", got.batch, want)
			}
			if len(got.batch.Envelopes) > maxEnvelopes || len(got.batch.Targets) > maxNames ||
				len(got.batch.Senders) > maxNames || len(got.batch.TypeNames) > maxNames {
				t.Error("over the limits")
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	m := &messages.AppendEntries{}
	for range 100 {
		m.Entries = append(m.Entries, make([]byte, 200))
	}
	e := &remote.MessageEnvelope{MessageData: encode(m), Sender: 1}
	in := batch(&remote.MessageBatch{TypeNames: []string{"troupe.raft.v1.AppendEntries"}, Targets: []string{"raft/g"},
		Senders: []*actor.PID{{Address: "a:1", Id: "raft/g"}}, Envelopes: []*remote.MessageEnvelope{e}})
	b.Run("strict", func(b *testing.B) {
		types := newTypeSet(testTypes)
		var f frame
		b.ReportAllocs()
		for b.Loop() {
			if err := f.decode(in, types); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(in, new(remote.RemoteMessage)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
