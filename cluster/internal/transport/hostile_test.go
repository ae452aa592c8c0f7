package transport

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-raft/troupe/messages"
)

// downPeer is the address of a known peer that is down. Attackers claim it.
const downPeer = "127.0.0.1:9"

// hostileFrame is one that must be refused.
type hostileFrame struct {
	name  string
	why   Refusal
	frame []byte
}

// envelope is a batch whose only envelope is changed.
func envelope(change func(e *remote.MessageEnvelope)) []byte {
	return one(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { change(e) })
}

// content is a batch with these bytes for a message.
func content(data []byte) []byte {
	return envelope(func(e *remote.MessageEnvelope) { e.MessageData = data })
}

// afterGreeting are the frames of an attacker whose greeting was accepted, to the node at self that knows also other.
func afterGreeting(self, other string) []hostileFrame {
	return slices.Concat(wrongIndices(), forbiddenTypes(self), forbiddenTargets(), forgedSenders(self, other),
		headers(), malformed(other), bombs())
}

// wrongIndices point outside of the batch.
func wrongIndices() []hostileFrame {
	return []hostileFrame{
		{"type index too large", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.TypeId = 1 })},
		{"type index negative", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.TypeId = -1 })},
		{"target index too large", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.Target = 1 })},
		{"target index negative", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.Target = -1 << 31 })},
		{"sender index too large", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.Sender = 1 })},
		{"sender index negative", RefusedMalformed, envelope(func(e *remote.MessageEnvelope) { e.Sender = -1 })},
		{"no types at all", RefusedMalformed, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.TypeNames = nil })},
		{"no targets at all", RefusedMalformed, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.Targets = nil })},
	}
}

// forbiddenTypes are messages that no peer may send.
func forbiddenTypes(self string) []hostileFrame {
	local := actor.NewPID(self, "raft/g")
	return []hostileFrame{
		{"serializer 1", RefusedType, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = 1 })},
		{"serializer -1", RefusedType, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = -1 })},
		{"serializer 99", RefusedType, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = 99 })},
		{"Terminated without subject", RefusedType, typed(&actor.Terminated{}, "raft/g")},
		{"Terminated in the name of another", RefusedType, typed(&actor.Terminated{Who: local}, "raft/g")},
		{"Stop", RefusedType, typed(stopActor, "raft/g")},
		{"PoisonPill", RefusedType, typed(poisonPill, "raft/g")},
		{"Watch", RefusedType, typed(&actor.Watch{Watcher: local}, "raft/g")},
		{"Unwatch", RefusedType, typed(&actor.Unwatch{Watcher: local}, "raft/g")},
		{"spawn request", RefusedType, typed(&remote.ActorPidRequest{Kind: "k", Name: "n"}, "activator")},
		{"DeadLetterResponse", RefusedType, typed(&actor.DeadLetterResponse{}, "raft/g")},
		{"JSON message", RefusedType, one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
			b.TypeNames[0], e.MessageData = "remote.JsonMessage", []byte("{}")
		})},
		{"unknown type", RefusedType, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.TypeNames[0] = "no.such.Type" })},
	}
}

// forbiddenTargets are actors that no peer may address.
func forbiddenTargets() []hostileFrame {
	vote := &messages.RequestVote{}
	return []hostileFrame{
		{"our type to guardian$1", RefusedTarget, typed(vote, "guardian$1")},
		{"our type to the activator", RefusedTarget, typed(vote, "activator")},
		{"our type to the endpoint supervisor", RefusedTarget, typed(vote, "EndpointSupervisor")},
		{"our type to the event stream", RefusedTarget, typed(vote, "eventstream")},
		{"our type to a future", RefusedTarget, typed(vote, "future$1")},
	}
}

// forgedSenders are not at the address that was claimed.
func forgedSenders(self, other string) []hostileFrame {
	sender := func(pid *actor.PID) []byte {
		return one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) { b.Senders, e.Sender = []*actor.PID{pid}, 1 })
	}
	return []hostileFrame{
		{"sender at another address", RefusedForgedSender, sender(actor.NewPID("127.0.0.1:10", "raft/g"))},
		{"sender in the name of another peer", RefusedForgedSender, sender(actor.NewPID(other, "raft/g"))},
		{"sender in our own name", RefusedForgedSender, sender(actor.NewPID(self, "raft/g"))},
		{"sender without an address", RefusedForgedSender, sender(&actor.PID{Id: "raft/g"})},
		{"sender called nonhost", RefusedForgedSender, sender(actor.NewPID("nonhost", "raft/g"))},
	}
}

// headers are what troupe never sends.
func headers() []hostileFrame {
	return []hostileFrame{
		{"headers", RefusedHeader, envelope(func(e *remote.MessageEnvelope) {
			e.MessageHeader = &remote.MessageHeader{HeaderData: map[string]string{"a": "b"}}
		})},
		{"a bomb of headers", RefusedHeader, envelope(func(e *remote.MessageEnvelope) {
			e.MessageHeader = &remote.MessageHeader{HeaderData: manyHeaders(200_000)}
		})},
	}
}

func manyHeaders(n int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

// malformed frames do not say what a frame must say, or not when it may be said.
func malformed(other string) []hostileFrame {
	vote := &messages.RequestVote{}
	return []hostileFrame{
		{"garbage", RefusedMalformed, []byte("\xff\xfe garbage \x00\x01")},
		{"a torn frame", RefusedMalformed, one(func(*remote.MessageBatch, *remote.MessageEnvelope) {})[:20]},
		{"an empty frame", RefusedMalformed, []byte{}},
		{"nil oneof", RefusedMalformed, encode(&remote.RemoteMessage{})},
		{"garbage for a message", RefusedMalformed, content([]byte("\xff\xff\xff"))},
		{"a message that its type cannot decode", RefusedMalformed, content([]byte{0x0a, 0x01, 0x07})},
		{"a group in a message", RefusedMalformed, content(bytes.Repeat([]byte{0x0b}, 9000))},
		{"a name that is no text", RefusedMalformed, bytes.Replace(typed(vote, "raft/XX"), []byte("XX"), []byte("\xff\xfe"), 1)},
		{"a target of 100 kB", RefusedLimit, typed(vote, "raft/"+string(bytes.Repeat([]byte("x"), 100_000)))},
		{"DisconnectRequest", RefusedMalformed, encode(disconnectRequest())},
		{"ConnectResponse", RefusedMalformed, encode(connectResponse(&remote.ConnectResponse{}))},
		{"a second greeting", RefusedNoGreeting, greeting(downPeer)},
		{"a second greeting as another", RefusedNoGreeting, greeting(other)},
		{"two batches in one frame", RefusedMalformed, append(typed(vote, "raft/g"), typed(vote, "raft/g")...)},
	}
}

// bombs would make a node allocate much more than they cost the attacker.
func bombs() []hostileFrame {
	const full = 16<<20 - 64
	return []hostileFrame{
		{"empty envelopes", RefusedLimit, many(3, full/2)},
		{"empty targets", RefusedLimit, many(2, full/2)},
		{"empty type names", RefusedLimit, many(1, full/2)},
		{"empty senders", RefusedLimit, many(4, full/2)},
		{"empty entries", RefusedLimit, one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
			b.TypeNames[0], e.MessageData = "troupe.raft.v1.AppendEntries", bytes.Repeat([]byte{0x22, 0}, full/2-100)
		})},
		{"a frame above the limit", RefusedLimit, make([]byte, 16<<20+1)},
		{"a frame far above the limit", RefusedLimit, make([]byte, 256<<20)},
	}
}

// beforeGreeting are the first frames of an attacker, to the node at self.
func beforeGreeting(self string) []hostileFrame {
	return []hostileFrame{
		{"messages without a greeting", RefusedNoGreeting, typed(&messages.RequestVote{}, "raft/g")},
		{"a greeting from nowhere", RefusedUnknownPeer, greeting("")},
		{"a greeting from an unknown address", RefusedUnknownPeer, greeting("10.0.0.1:7000")},
		{"a greeting from ourselves", RefusedUnknownPeer, greeting(self)},
		{"a client's greeting", RefusedMalformed, encode(connectRequest(&remote.ConnectRequest{
			ConnectionType: &remote.ConnectRequest_ClientConnection{ClientConnection: &remote.ClientConnection{MemberId: "m"}},
		}))},
		{"an empty greeting", RefusedMalformed, encode(connectRequest(&remote.ConnectRequest{}))},
		{"a greeting of 8 kB", RefusedLimit, greeting(string(bytes.Repeat([]byte("x"), 8000)))},
		{"8 MiB before a greeting", RefusedLimit, content(encode(&messages.AppendEntries{Entries: [][]byte{make([]byte, 8<<20)}}))},
	}
}
