package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// quietAfter is for how many heartbeat intervals nothing must have happened before a leader is quiescent.
const quietAfter = 3

// quiescence is a leader's rest: while its group wants nothing, the pulse of its node speaks for it, and neither it nor its replicators
// send heartbeats. All mail but its own alarm ends that, and all followers have to answer the leader itself before it rests again.
type quiescence struct {
	is   bool
	used time.Time // when somebody last wanted something
	lent time.Time // when the pulse was last asked to speak for the leader, which it does for an election timeout
	// since is the first round in which all of the log was committed; 0: it is not. Who answered it knows that.
	since uint64
}

// begun notes a round.
func (q *quiescence) begun(s *server, round uint64) {
	switch {
	case s.commitIndex < s.log.last:
		q.since = 0
	case q.since == 0:
		q.since = round
	}
}

// receive ends a rest.
func (l *leader) receive(s *server, m any) {
	switch m.(type) {
	case wake:
	case *disturbed: // the node of the follower was heard, but not for it
		l.stir(s, l.all)
	default:
		l.hearPulse(s)
		l.stir(s, nil)
	}
	s.handle(m)
}

// stir ends a rest: the leader beats by itself again, for some members at once.
func (l *leader) stir(s *server, atOnce progresses) {
	if !l.quiescence.is {
		return
	}
	l.endRest(s)
	l.quiescence = quiescence{used: s.c.Clock.Now()}
	s.setAlarm(s.c.Timing.Heartbeat)
	l.beat(s, atOnce)
}

func (l *leader) endRest(s *server) {
	if l.quiescence.is {
		l.quiescence.is = false
		s.ctx.Send(s.c.Pulse, takeBack{s.group})
	}
}

// hearPulse notes the followers whose nodes answered for them: while the pulse spoke for this leader.
func (l *leader) hearPulse(s *server) {
	if !l.quiescence.is {
		return
	}
	begin, end := l.quiescence.lent, l.quiescence.lent.Add(s.c.Timing.Election)
	for _, p := range l.all {
		peer := s.peers.of(p.id)
		if peer == nil {
			continue
		}
		heard := s.c.quiet.node(peer.pid.Address)
		if heard.After(end) {
			heard = end
		}
		if heard.After(begin) && heard.After(p.heard) {
			p.heard = heard
		}
	}
}

// rests says whether the group wants nothing: all is committed, applied, and known to every follower, and all of them are heard.
func (l *leader) rests(s *server) bool {
	now, q, last := s.c.Clock.Now(), &l.quiescence, s.log.last
	switch {
	case s.c.Pulse == nil || s.charter().level < messages.LevelMembership:
		return false
	case now.Sub(q.used) < quietAfter*s.c.Timing.Heartbeat || q.since == 0:
		return false
	case s.lastApplied < last || s.outbox.durable < last || s.outbox.ready() || s.configuration().joint():
		return false
	case l.handover.to != "" || l.change != nil || l.reads.any() || !l.lease.unwanted(now):
		return false
	}
	for _, p := range l.all {
		if p.replicator == nil {
			continue
		}
		if p.left != 0 || p.match < last || p.round < q.since || now.Sub(p.heard) > s.c.Timing.Election/2 {
			return false
		}
	}
	return true
}

// rest lets the pulse speak for the leader, until some time after it should have said so again.
func (l *leader) rest(s *server) {
	if !l.quiescence.is {
		l.quiescence.is = true
		l.tell(s, pause{})
	}
	s.setAlarm(s.c.Timing.Election * 4 / 5)
	l.quiescence.lent = s.c.Clock.Now()
	lent := &lend{
		server: s.ctx.Self(), says: &messages.Quiescent{Group: s.group, Term: s.currentTerm},
		until: l.quiescence.lent.Add(s.c.Timing.Election),
	}
	for _, p := range l.all {
		if p.replicator != nil {
			lent.followers = append(lent.followers, s.peers.of(p.id).pid.Address)
		}
	}
	if len(lent.followers) > 0 {
		s.ctx.Send(s.c.Pulse, lent)
	}
}

// rest lets the pulse of its node stand for the leader, if this server lacks nothing, and wants nothing of the leader. Who refuses entries
// lacks something, even if its empty log differs in nothing; and the leader may not hear of the refusal.
func (f *follower) rest(s *server, reply *messages.AppendEntriesReply, verified uint64) {
	all := reply.Success && verified == s.log.last && s.commitIndex == verified && s.outbox.durable >= verified && s.reception == nil
	if from := s.ctx.Sender(); all && from != nil && !f.waits() {
		s.quiet.rest(from.Address, s.currentTerm, f.heard)
	} else {
		s.stir()
	}
}

// waits says whether the leader owes this server's callers something.
func (f *follower) waits() bool {
	return len(f.forwarding.sent)+len(f.forwarding.queue)+len(f.atLeader.asked)+len(f.atLeader.waiting) > 0
}

// lastHeard is when the leader was heard, by itself or by its node's pulse.
func (f *follower) lastHeard(s *server) time.Time {
	if heard := s.quiet.last(); heard.After(f.heard) {
		return heard
	}
	return f.heard
}

// sleeps lets the pulse of this node watch over the leader in the place of the election timer, if the leader's pulse was heard since that
// was set.
func (f *follower) sleeps(s *server) bool {
	heard := f.lastHeard(s)
	if f.leader == "" || !heard.After(f.heard) {
		return false
	}
	f.heard = heard
	return s.quiet.sleep()
}

// unheard sets the election timer as if it had been reset when the leader was heard last.
func (f *follower) unheard(s *server) {
	if !s.quiet.wake() {
		return
	}
	f.heard = f.lastHeard(s)
	s.setAlarm(max(s.randomTimeout()-s.c.Clock.Now().Sub(f.heard), 0))
}

// stir ends a rest: the server has an election timer again.
func (s *server) stir() {
	if s.quiet.stir() {
		s.resetElectionTimer()
	}
}
