package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// readsAtLeader are reads of a follower's callers. The follower asks its leader for a read index, for many of them at a time, and its own
// machine answers them once that is applied (thesis 6.4).
type readsAtLeader struct {
	// waiting for the next question; asked: for the answer to the present one.
	waiting, asked []query
	number         uint64
	begun          time.Duration // when the question was asked first, since the machine's boot
}

func (r *readsAtLeader) refuse(d *Door, err error) {
	d.refuseQueries(r.asked, err)
	d.refuseQueries(r.waiting, err)
	r.asked, r.waiting = nil, nil
}

func (f *follower) readAtLeader(s *server, queries []query) {
	r := &f.atLeader
	r.waiting = append(r.waiting, queries...)
	if len(r.asked) > 0 || len(r.waiting) == 0 {
		return
	}
	r.asked, r.waiting = r.waiting, nil
	r.number, r.begun = s.nextNumber(), s.c.Clock.SinceBoot()
	f.askReadIndex(s)
}

// askReadIndex asks, and again with each heartbeat: question or answer may have been lost.
func (f *follower) askReadIndex(s *server) {
	if len(f.atLeader.asked) > 0 {
		lease := !slices.ContainsFunc(f.atLeader.asked, func(q query) bool { return !byLease(q) })
		s.sendTo(f.leader, &messages.ReadIndex{Header: s.header(f.leader), Number: f.atLeader.number, Lease: lease})
	}
}

func (f *follower) readIndexReply(s *server, m *messages.ReadIndexReply) {
	r := &f.atLeader
	if m.Number != r.number || len(r.asked) == 0 {
		return
	}
	s.learns(m.Index, r.begun)
	s.look(m.Index, r.asked)
	r.asked = nil
	f.readAtLeader(s, nil)
}

// repeatLost sees to what the leader, which is heard, did not answer: questions are asked again, and proposals are given up, so that the
// next ones have their place in the window.
func (f *follower) repeatLost(s *server) {
	if !f.forwards(s) {
		f.stopForwarding(s)
		return
	}
	f.askReadIndex(s)
	f.stopWaiting(s, f.heard.Add(-2*s.c.Timing.Election))
	f.sendQueue(s)
}

// remoteRead is a follower's question for a read index.
type remoteRead struct {
	member string
	number uint64
}

// readIndex takes a question. A member has one at a time.
func (l *leader) readIndex(s *server, m *messages.ReadIndex) {
	l.quiescence.used = s.c.Clock.Now()
	r := &l.reads
	q := remoteRead{m.Header.From, m.Number}
	if m.Header.Term != s.currentTerm || slices.Contains(r.askedRemote, q) {
		return
	}
	if m.Lease && l.wantsLease(s) {
		s.replyReadIndex(q, s.commitIndex)
		return
	}
	r.waitingRemote = append(slices.DeleteFunc(r.waitingRemote, func(w remoteRead) bool { return w.member == q.member }), q)
	l.read(s)
}

func (s *server) replyReadIndex(q remoteRead, index uint64) {
	s.sendTo(q.member, &messages.ReadIndexReply{Header: s.header(q.member), Number: q.number, Index: index})
}

func sortedKeys[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }
