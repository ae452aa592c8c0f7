package actors

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// forwarding is what a follower does with its callers' proposals: it sends them to its leader's door, once. A caller who learns that the
// outcome is unknown may propose the same command of a session again, here or elsewhere.
type forwarding struct {
	// sent waits for answers, by number; queue waits for the window.
	sent  map[uint64]*forwarded
	queue []proposal
	bytes int // of what is sent
}

// forwarded is one message's worth of proposals.
type forwarded struct {
	proposals []proposal
	bytes     int
	at        time.Time
}

// forwards says whether the leader can be asked: it is known, knows what it is asked, and knows this server by its data directory.
func (f *follower) forwards(s *server) bool {
	return f.leader != "" && !s.c.WithoutForwarding && s.charter().level >= messages.LevelSessions && !s.disowned(f.leader)
}

func (f *follower) callers(s *server, proposals []proposal, queries []query) {
	if !f.forwards(s) {
		s.door.refuse(proposals, queries, f.notLeader(s))
		return
	}
	s.stir() // what is lost is asked again when the leader is heard
	f.forwarding.queue = append(f.forwarding.queue, proposals...)
	f.sendQueue(s)
	f.readAtLeader(s, queries)
}

// sendQueue sends what waits, as far as the window reaches.
func (f *follower) sendQueue(s *server) {
	w := &f.forwarding
	for len(w.queue) > 0 && (w.bytes == 0 || w.bytes < s.c.Limits.InflightBytes) {
		n, size := 0, 0
		for ; n < len(w.queue) && (n == 0 || size+w.queue[n].bytes() <= s.c.Limits.MessageBytes); n++ {
			size += w.queue[n].bytes() + proposalOverhead
		}
		f.sendProposals(s, w.queue[:n:n], size)
		w.queue = w.queue[n:]
	}
	if len(w.queue) == 0 {
		w.queue = nil
	}
}

const proposalOverhead = 48

func (f *follower) sendProposals(s *server, proposals []proposal, size int) {
	w := &f.forwarding
	if w.sent == nil {
		w.sent = map[uint64]*forwarded{}
	}
	number := s.nextNumber()
	w.sent[number] = &forwarded{proposals, size, s.c.Clock.Now()}
	w.bytes += size
	m := &messages.Forward{Header: s.header(f.leader), Number: number}
	for _, p := range proposals {
		m.Proposals = append(m.Proposals, &messages.Proposal{
			Kind: uint32(p.kind), Data: bytes.Clone(p.data), // a caller who is answered may change it
			Session: p.session.Session.Index, Nonce: p.session.Session.Nonce, Serial: p.session.Serial, Lowest: p.session.Lowest,
		})
	}
	s.sendTo(f.leader, m)
}

// A number is for what is asked of another member: which start of this server asks, at random, and then the how manyeth it is.
const numberBits = 40

func (s *server) nextNumber() uint64 {
	if s.number == 0 {
		s.number = s.rng.Uint64() >> numberBits << numberBits
	}
	s.number++
	return s.number
}

// taken are the numbers of the last messages that a leader took, by who sent them: none is taken twice, whatever the network does.
type taken map[start]uint64

type start struct {
	member string
	start  uint64
}

// mostStarts bounds what a leadership remembers.
const mostStarts = 1024

func (t taken) takes(member string, number uint64) bool {
	from := start{member, number >> numberBits}
	last, known := t[from]
	if known && number <= last || !known && len(t) >= mostStarts {
		return false
	}
	t[from] = number
	return true
}

func (f *follower) forwardReply(s *server, m *messages.ForwardReply) {
	w := &f.forwarding
	sent := w.sent[m.Number]
	if sent == nil {
		return
	}
	delete(w.sent, m.Number)
	w.bytes -= sent.bytes
	if len(m.Outcomes) != len(sent.proposals) {
		s.door.refuse(sent.proposals, nil, ErrOutcomeUnknown)
	} else {
		for i, p := range sent.proposals {
			s.door.release(1, p.bytes())
			p.caller.Answer(answerOf(m.Outcomes[i]))
		}
	}
	f.sendQueue(s)
}

// stopWaiting gives up what the leader did not answer since a time: the message, or the answer, was lost.
func (f *follower) stopWaiting(s *server, since time.Time) {
	w := &f.forwarding
	for _, number := range sortedKeys(w.sent) {
		if sent := w.sent[number]; !sent.at.After(since) {
			delete(w.sent, number)
			w.bytes -= sent.bytes
			s.door.refuse(sent.proposals, nil, ErrOutcomeUnknown)
		}
	}
}

// stopForwarding answers all callers: the leader is another, or none.
func (f *follower) stopForwarding(s *server) {
	f.stopWaiting(s, s.c.Clock.Now())
	waiting := f.forwarding.queue
	f.forwarding.queue = nil
	s.door.refuse(waiting, nil, f.notLeader(s))
	f.atLeader.refuse(s.door, f.notLeader(s))
}

// forward hands proposals from another member to this server's door. They are answered together.
func (l *leader) forward(s *server, m *messages.Forward) {
	if m.Header.Term != s.currentTerm {
		l.active.forward(s, m)
		return
	}
	if len(m.Proposals) == 0 || !l.taken.takes(m.Header.From, m.Number) {
		return
	}
	reply := &forwardReply{
		root: s.door.root, server: s.ctx.Self(), member: m.Header.From, number: m.Number,
		outcomes: make([]*messages.Outcome, len(m.Proposals)),
	}
	reply.left.Store(int32(len(m.Proposals)))
	for i, p := range m.Proposals {
		s.door.propose(proposal{
			kind: messages.Entry_Kind(p.Kind), data: p.Data, caller: &forwardCaller{reply, i},
			session: messages.SessionCommand{
				Session: messages.SessionID{Index: p.Session, Nonce: p.Nonce}, Serial: p.Serial, Lowest: p.Lowest,
			},
		})
	}
}

// forward refuses: this server does not lead. It may have led when it took a copy of the message, before a restart: so it cannot say that
// the proposals will not take effect.
func (active) forward(s *server, m *messages.Forward) {
	unknown := []*messages.Outcome{outcomeOf(Answer{Err: ErrOutcomeUnknown})}
	s.replyForward(m.Header.From, m.Number, slices.Repeat(unknown, len(m.Proposals)))
}

func (s *server) replyForward(member string, number uint64, outcomes []*messages.Outcome) {
	s.sendTo(member, &messages.ForwardReply{Header: s.header(member), Number: number, Outcomes: outcomes})
}

// forwardReply gathers the answers to one Forward. The last one mails it to the server.
type forwardReply struct {
	root     *actor.RootContext
	server   *actor.PID
	member   string
	number   uint64
	outcomes []*messages.Outcome
	left     atomic.Int32
}

type forwardCaller struct {
	reply *forwardReply
	place int
}

// Answer implements Caller.
func (c *forwardCaller) Answer(a Answer) {
	r := c.reply
	r.outcomes[c.place] = outcomeOf(a)
	if r.left.Add(-1) == 0 {
		r.root.Send(r.server, r)
	}
}
