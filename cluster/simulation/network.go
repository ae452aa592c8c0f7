package simulation

import (
	"bytes"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// wire stands for every remote process that a node sends to. It encodes each message, and the faults act on it.
type wire struct{ from *node }

var deterministic = proto.MarshalOptions{Deterministic: true}

func (w wire) SendUserMessage(pid *actor.PID, message any) {
	_, m, sender := actor.UnwrapEnvelope(message)
	original, ok := m.(proto.Message)
	if !ok {
		return // a dead letter's answer
	}
	encoded, err := deterministic.Marshal(original)
	if err != nil {
		panic(err)
	}
	world := w.from.w
	world.promised(w.from, original)
	world.trace.bytes(encoded)
	p := packet{from: w.from, to: world.at(pid.Address), target: pid.Id, kind: original, original: original, encoded: encoded}
	if sender != nil {
		p.sender = actor.NewPID(w.from.address, sender.Id)
	}
	world.carry(p)
}

func (w wire) SendSystemMessage(*actor.PID, any) {}
func (w wire) Stop(*actor.PID)                   {}

type packet struct {
	from, to   *node
	target     string
	sender     *actor.PID
	kind       proto.Message // of the original's type
	original   proto.Message // nil when it was damaged on the way
	encoded    []byte
	connection int // the number of the one that carries it; a stray message survives its end
}

// stray messages left their connection.
const stray = -1

// carry decides what becomes of a packet.
func (w *world) carry(p packet) {
	if p.to == nil {
		return
	}
	if w.blocked(link{p.from.place, p.to.place}) {
		return
	}
	if w.hits(Loss) {
		return
	}
	if w.hits(Misroute) {
		p.to = w.nodes[w.rng.IntN(len(w.nodes))]
		if w.chance(0.5) && strings.Count(p.target, "/") == 1 { // a server, not its children
			p.target = "raft/" + groupName(w.rng.IntN(w.options.Groups))
		}
	}
	if w.hits(Corrupt) {
		p.encoded = bytes.Clone(p.encoded)
		p.original = nil
		if len(p.encoded) > 0 {
			p.encoded[w.rng.IntN(len(p.encoded))] ^= 1 << w.rng.IntN(8)
		}
	}
	delay := w.between(50*time.Microsecond, 500*time.Microsecond)
	l := link{p.from.place, p.to.place}
	p.connection = stray
	switch {
	case w.hits(Delay):
		delay = w.between(10*time.Millisecond, 3*time.Second)
	case w.hits(Reorder):
		delay += w.between(0, 5*time.Millisecond)
	default: // one stream to each peer: what was sent later does not arrive earlier
		delay = max(delay, w.arrives[l]-w.now)
		w.arrives[l] = w.now + delay
		p.connection = w.connections[l]
	}
	w.after(delay, func() { w.deliver(p) })
	if w.hits(Duplicate) {
		w.after(delay+w.between(0, 20*time.Millisecond), func() { w.deliver(p) })
	}
}

func (w *world) deliver(p packet) {
	if p.original != nil {
		again, err := deterministic.Marshal(p.original)
		if err != nil || !bytes.Equal(again, p.encoded) {
			w.fail("a message does not change after it was mailed", "%T from %s", p.original, p.from.id)
			return
		}
	}
	if !p.to.up || p.connection != stray && p.connection != w.connections[link{p.from.place, p.to.place}] {
		return
	}
	copied, err := decode(p.kind, bytes.Clone(p.encoded))
	if err != nil {
		return
	}
	if intact, ok := copied.(interface{ Intact() bool }); ok && (p.original != nil || intact.Intact()) {
		w.heard(p.to, copied)
		if pulse, ok := copied.(*messages.PulseReply); ok {
			w.hearsPulse(p.from, p.to, pulse)
		}
	}
	p.to.system.Root.RequestWithCustomSender(actor.NewPID(p.to.address, p.target), copied, p.sender)
}

// decode reads a message as the shipping transport does.
func decode(kind proto.Message, b []byte) (proto.Message, error) {
	if _, ok := kind.(*messages.AppendEntries); ok {
		return messages.UnmarshalAppendEntries(b)
	}
	m := kind.ProtoReflect().New().Interface()
	return m, proto.Unmarshal(b, m)
}
