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
// PIDs cache it; what changes is whether the address is a known peer's (life) and whether it is connected (link). A stranger has one
// that no PID caches, and that is dropped when the stranger is forgotten.
type peer struct {
	address   string
	transport *Transport

	link  atomic.Pointer[link]
	life  atomic.Pointer[life]
	dials atomic.Int32  // streams being opened
	wake  chan struct{} // ends the dialer's pauses
	quiet hush.Hush
	worry worry

	listed    atomic.Bool   // SetPeers has named the address once
	heard     atomic.Int64  // when a stranger last showed that it knows the cluster, Unix nanoseconds
	hurried   atomic.Int64  // when a greeting last ended them, Unix nanoseconds
	written   atomic.Uint64 // bytes that the operating system took
	connected atomic.Int64  // when a link last began, Unix nanoseconds
	lastError atomic.Pointer[string]
}

// A life is one stretch of time in which an address is a known peer's, or a stranger's.
type life struct {
	ctx        context.Context
	end        context.CancelCauseFunc
	isStranger bool
}

// begin makes the address a peer's or a stranger's. Its connections stay. The caller holds the transport's mu.
func (p *peer) begin(isStranger bool) {
	next := &life{isStranger: isStranger}
	if l := p.life.Load(); l != nil {
		next.ctx, next.end = l.ctx, l.end
	} else {
		next.ctx, next.end = context.WithCancelCause(context.Background())
	}
	p.life.Store(next)
}

// leave ends the peer's life and its connections. The caller holds the transport's mu.
func (p *peer) leave(why error) {
	l := p.life.Swap(nil)
	l.end(why)
	if link := p.link.Load(); link != nil {
		link.end(why)
	}
	p.transport.door.closePeer(p.address)
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
	if l := p.life.Load(); l != nil {
		s.Stranger = l.isStranger
	}
	if l := p.link.Load(); l != nil {
		s.Connected = true
		s.QueuedMessages, s.QueuedBytes = l.queuedMessages.Load(), l.queuedBytes.Load()
	}
	if e := p.lastError.Load(); e != nil {
		s.LastError = *e
	}
	return s
}

// A detour is the Process behind the PIDs of addresses that no peer had yet when the PID was first used. It looks for the peer, or
// the stranger, with every message.
type detour struct{ transport *Transport }

func (d detour) SendUserMessage(pid *actor.PID, message any) {
	if p := d.transport.peer(pid.Address); p != nil {
		p.SendUserMessage(pid, message)
		return
	}
	d.transport.counters.drop(DropUnknownPeer)
}

func (d detour) SendSystemMessage(*actor.PID, any) { d.transport.counters.drop(DropSystem) }

func (d detour) Stop(*actor.PID) { d.transport.counters.drop(DropSystem) }

// resolve is the actor system's first address resolver, so that the remote's own is never asked.
func (t *Transport) resolve(pid *actor.PID) (actor.Process, bool) {
	if p := t.peer(pid.Address); p != nil && p.listed.Load() {
		return p, true
	}
	return detour{t}, true
}

// peer returns the peer that is or was known at the address, or the stranger that is, or nil.
func (t *Transport) peer(address string) *peer { return (*t.peers.Load())[address] }

// sortedPeers are the peers and strangers known now.
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
