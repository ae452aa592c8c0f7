package transport

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/cluster/internal/hush"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A peer is the gate to one address: the Process that Proto.Actor finds behind every PID there. It is never replaced, because
// PIDs cache it; what changes is whether the address is a known peer's (life) and whether it is connected (link).
type peer struct {
	address   string
	transport *Transport

	link  atomic.Pointer[link]
	life  atomic.Pointer[life]
	dials atomic.Int32  // streams being opened
	wake  chan struct{} // ends the dialer's pauses
	quiet hush.Hush
	worry worry

	hurried   atomic.Int64  // when a greeting last ended them, Unix nanoseconds
	written   atomic.Uint64 // bytes that the operating system took
	connected atomic.Int64  // when a link last began, Unix nanoseconds
	lastError atomic.Pointer[string]
}

// A life is one stretch of time in which an address is a known peer's.
type life struct {
	ctx context.Context
	end context.CancelCauseFunc
}

var _ actor.Process = (*peer)(nil)

// SendUserMessage forwards or drops; it never waits. The path of a message that is sent allocates nothing.
func (p *peer) SendUserMessage(pid *actor.PID, message any) {
	t := p.transport
	l := p.link.Load()
	if l == nil {
		t.counters.drop(p.unconnected())
		return
	}
	m, why, ok := t.admit(pid, message)
	if !ok {
		t.counters.drop(why)
		return
	}
	if !l.reserve(m.cost()) {
		t.counters.drop(DropQueueFull)
		return
	}
	if !l.send(m) {
		t.counters.drop(p.unconnected())
		return
	}
	t.counters.sent.Add(1)
}

func (p *peer) unconnected() Drop {
	if p.known() {
		return DropNotConnected
	}
	return DropUnknownPeer
}

// admit says whether a message may travel, and as what.
func (t *Transport) admit(target *actor.PID, message any) (m mail, why Drop, ok bool) {
	header, body, sender := actor.UnwrapEnvelope(message)
	sent, ok := body.(proto.Message)
	if !ok || header != nil && header.Length() > 0 {
		return mail{}, DropUnsendable, false
	}
	kind := t.types.byGo[reflect.TypeOf(body)]
	if kind == nil {
		return mail{}, DropUnsendable, false
	}
	// The peer's guard would close the stream if a sender had another address than this node.
	if sender != nil && sender.Address != t.address {
		if sender.Address != "nonhost" {
			return mail{}, DropUnsendable, false
		}
		sender = actor.NewPID(t.address, sender.Id) // spawned before Start
	}
	size := proto.Size(sent)
	if size > t.maxMessage {
		return mail{}, DropTooLarge, false
	}
	return mail{sent, kind, target, sender, size}, 0, true
}

// SendSystemMessage drops the message: no peer's guard would let it in.
func (p *peer) SendSystemMessage(*actor.PID, any) { p.transport.counters.drop(DropSystem) }

// Stop drops its message, too.
func (p *peer) Stop(*actor.PID) { p.transport.counters.drop(DropSystem) }

func (p *peer) known() bool { return p.life.Load() != nil }

func (p *peer) fail(err error) {
	s := err.Error()
	p.lastError.Store(&s)
}

func (p *peer) stats() PeerStats {
	s := PeerStats{Address: p.address}
	if l := p.link.Load(); l != nil {
		s.Connected = true
		s.QueuedMessages, s.QueuedBytes = l.queuedMessages.Load(), l.queuedBytes.Load()
	}
	if e := p.lastError.Load(); e != nil {
		s.LastError = *e
	}
	return s
}

// A stranger is the Process behind the PIDs of addresses that were unknown when the PID was first used.
type stranger struct{ transport *Transport }

func (s stranger) SendUserMessage(pid *actor.PID, message any) {
	if p := s.transport.peer(pid.Address); p != nil {
		p.SendUserMessage(pid, message)
		return
	}
	s.transport.counters.drop(DropUnknownPeer)
}

func (s stranger) SendSystemMessage(*actor.PID, any) { s.transport.counters.drop(DropSystem) }

func (s stranger) Stop(*actor.PID) { s.transport.counters.drop(DropSystem) }

// resolve is the actor system's first address resolver, so that the remote's own is never asked.
func (t *Transport) resolve(pid *actor.PID) (actor.Process, bool) {
	if p := t.peer(pid.Address); p != nil {
		return p, true
	}
	return stranger{t}, true
}

// peer returns the peer that is or was known at the address, or nil.
func (t *Transport) peer(address string) *peer { return (*t.peers.Load())[address] }

// sortedPeers are the peers known now.
func (t *Transport) sortedPeers() []*peer {
	all := slices.Collect(maps.Values(*t.peers.Load()))
	all = slices.DeleteFunc(all, func(p *peer) bool { return !p.known() })
	slices.SortFunc(all, func(a, b *peer) int { return strings.Compare(a.address, b.address) })
	return all
}

// typeSet is Config.AllowTypes, for both directions.
type typeSet struct {
	byGo   map[reflect.Type]*wireType
	byName map[string]*wireType
}

// A wireType is a type of messages that travel.
type wireType struct {
	name            string
	typ             protoreflect.MessageType
	isAppendEntries bool
}

func newTypeSet(samples []proto.Message) typeSet {
	s := typeSet{byGo: map[reflect.Type]*wireType{}, byName: map[string]*wireType{}}
	for _, m := range samples {
		_, isAppendEntries := m.(*messages.AppendEntries)
		w := &wireType{string(proto.MessageName(m)), m.ProtoReflect().Type(), isAppendEntries}
		s.byGo[reflect.TypeOf(m)], s.byName[w.name] = w, w
	}
	return s
}
