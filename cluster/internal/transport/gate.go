package transport

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
)

// envelopeBytes is what one message costs in a frame besides its own bytes, rounded up.
const envelopeBytes = 64

// A peer is the gate to one address: the Process that Proto.Actor finds behind every PID there. It is never replaced, because
// PIDs cache it; what changes is whether the address is a known peer's (life) and whether it is connected (link).
type peer struct {
	address   string
	transport *Transport

	link  atomic.Pointer[link]
	life  atomic.Pointer[life]
	dials atomic.Int32  // streams being opened
	wake  chan struct{} // ends the dialer's pauses

	written   atomic.Uint64 // bytes that the operating system took
	connected atomic.Int64  // when a link last began, Unix nanoseconds
	lastError atomic.Pointer[string]
}

// A life is one stretch of time in which an address is a known peer's.
type life struct {
	ctx context.Context
	end context.CancelFunc
}

var _ actor.Process = (*peer)(nil)

// SendUserMessage forwards or drops; it never waits.
func (p *peer) SendUserMessage(pid *actor.PID, message any) {
	if body, sender, ok := p.admit(message); ok {
		p.transport.remote.SendMessage(pid, nil, body, sender, 0)
	}
}

// admit decides on a message, and counts it. The path of one that is sent takes no lock and allocates nothing.
func (p *peer) admit(message any) (body any, sender *actor.PID, ok bool) {
	t := p.transport
	l := p.link.Load()
	if l == nil {
		if p.known() {
			t.counters.drop(DropNotConnected)
		} else {
			t.counters.drop(DropUnknownPeer)
		}
		return nil, nil, false
	}
	header, body, sender := actor.UnwrapEnvelope(message)
	m, ok := body.(proto.Message)
	if !ok || !t.types.sends(body) || header != nil && header.Length() > 0 {
		t.counters.drop(DropUnsendable)
		return nil, nil, false
	}
	// The peer's guard would close the stream over a sender that is not ours.
	if sender != nil && sender.Address != t.address {
		if sender.Address != "nonhost" {
			t.counters.drop(DropUnsendable)
			return nil, nil, false
		}
		sender = actor.NewPID(t.address, sender.Id) // spawned before Start
	}
	size := proto.Size(m)
	if size > t.maxMessage {
		t.counters.drop(DropTooLarge)
		return nil, nil, false
	}
	if !l.reserve(int64(size) + envelopeBytes) {
		t.counters.drop(DropQueueFull)
		return nil, nil, false
	}
	t.counters.sent.Add(1)
	return body, sender, true
}

// SendSystemMessage drops: the guard of no peer would let it in.
func (p *peer) SendSystemMessage(*actor.PID, any) { p.transport.counters.drop(DropSystem) }

// Stop drops likewise.
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

// peer returns what was ever known at the address, or nil.
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
	goTypes map[reflect.Type]struct{}
	names   map[string]string // to itself: the lookup of bytes returns the string without allocating
}

func newTypeSet(messages []proto.Message) typeSet {
	s := typeSet{goTypes: map[reflect.Type]struct{}{}, names: map[string]string{}}
	for _, m := range messages {
		name := string(proto.MessageName(m))
		s.goTypes[reflect.TypeOf(m)] = struct{}{}
		s.names[name] = name
	}
	return s
}

func (s typeSet) sends(message any) bool {
	_, ok := s.goTypes[reflect.TypeOf(message)]
	return ok
}
