package simulation

import (
	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// hold keeps the messages that match, from now on.
type hold struct {
	s       *scenario
	matches func(packet) bool
	lose    bool // nothing is kept
	pass    bool // what is kept goes its way, too
	matched int
	kept    []packet
}

// hold keeps what matches in the network until it is released.
func (s *scenario) hold(matches func(packet) bool) *hold {
	h := &hold{s: s, matches: matches}
	s.holds = append(s.holds, h)
	return h
}

// drop loses what matches, until end.
func (s *scenario) drop(matches func(packet) bool) *hold {
	h := s.hold(matches)
	h.lose = true
	return h
}

// copies keeps a copy of what matches, to be delivered again.
func (s *scenario) copies(matches func(packet) bool) *hold {
	h := s.hold(matches)
	h.pass = true
	return h
}

// end lets messages pass again; what is held stays held.
func (h *hold) end() {
	for i, other := range h.s.holds {
		if other == h {
			h.s.holds = append(h.s.holds[:i:i], h.s.holds[i+1:]...)
			return
		}
	}
}

// release lets messages pass again, and delivers what is held, in the order in which it was sent, now.
func (h *hold) release() {
	h.end()
	for _, p := range h.kept {
		h.s.deliver(p)
	}
	h.kept = nil
}

// first waits until a message is held, and returns it.
func (h *hold) first(what string) packet {
	h.s.t.Helper()
	h.s.until(what+" is sent", func() bool { return len(h.kept) > 0 })
	return h.kept[0]
}

// deliver hands a message to its receiver's mailbox. A test may deliver a message more than once.
func (s *scenario) deliver(p packet) {
	s.w.note("%s gets %s from %s", p.to.id, typeOf(p.original), p.from.id)
	s.w.deliver(p)
}

// forge delivers a message as if from had sent it to the server of to.
func (s *scenario) forge(from, to *node, m interface {
	proto.Message
	Seal()
}) {
	m.Seal()
	encoded, err := deterministic.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	s.deliver(packet{
		from: from, to: to, target: "raft/" + groupName(0), sender: actor.NewPID(from.address, "forger"),
		kind: m, original: m, encoded: encoded,
	})
}

// header of a forged message.
func (s *scenario) header(from, to *node, term uint64) *messages.Header {
	return &messages.Header{
		ClusterId: s.status(to).ClusterID, Group: groupName(0), From: from.id, To: to.id,
		StoreId: from.store.Identity().StoreId, Term: term, Level: messages.Level,
	}
}

// tap is the wire of a node in a scenario: what somebody holds does not enter the network.
type tap struct {
	wire
	s *scenario
}

func (t tap) SendUserMessage(pid *actor.PID, message any) {
	_, m, sender := actor.UnwrapEnvelope(message)
	original, ok := m.(proto.Message)
	if !ok {
		return
	}
	p := packet{from: t.from, to: t.s.w.at(pid.Address), target: pid.Id, kind: original, original: original}
	for _, h := range t.s.holds {
		if p.to == nil || !h.matches(p) {
			continue
		}
		h.matched++
		if sender != nil {
			p.sender = actor.NewPID(t.from.address, sender.Id)
		}
		t.s.w.promised(t.from, original)
		p.encoded, _ = deterministic.Marshal(original)
		if !h.lose {
			h.kept = append(h.kept, p)
		}
		if !h.pass {
			t.s.w.note("held or lost: %s from %s to %s", typeOf(original), p.from.id, p.to.id)
			return
		}
	}
	t.wire.SendUserMessage(pid, message)
}

// What a message is.

func requestVote(p packet) bool        { return is[*messages.RequestVote](p) }
func requestVoteReply(p packet) bool   { return is[*messages.RequestVoteReply](p) }
func appendEntries(p packet) bool      { return is[*messages.AppendEntries](p) }
func pulse(p packet) bool              { return is[*messages.Pulse](p) }
func appendEntriesReply(p packet) bool { return is[*messages.AppendEntriesReply](p) }

func is[M proto.Message](p packet) bool {
	_, ok := p.original.(M)
	return ok
}

// entriesOf says how many entries an AppendEntries carries; 0 for every other message.
func entriesOf(p packet) int {
	if m, ok := p.original.(*messages.AppendEntries); ok {
		return len(m.Entries)
	}
	return 0
}
