package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// handover is a leadership transfer under way (thesis 3.10). From its beginning the leader takes no proposals, so that the target catches
// up; when the target has all, durably, it is asked to stand at once.
type handover struct {
	to     string // empty: none is under way
	until  time.Time
	asked  bool   // TimeoutNow left
	caller Caller // nil: the leader itself wants it
}

var (
	// ErrCannotLead: the member that is to take over is not able to.
	ErrCannotLead = errors.New("the member cannot take over")
	// ErrHandingOver: the leader takes no commands while another member takes over.
	ErrHandingOver = errors.New("the group's leader hands over to another member: try again in a moment")
	// ErrNotTakenOver: the leader goes on.
	ErrNotTakenOver = errors.New("the member did not take over in time, and the leader goes on: see whether that member is well")
)

// handoverCall is a caller's wish that another member leads.
type handoverCall struct {
	to     string
	caller Caller
}

// HandOver asks for another voter to lead (thesis 3.10): the best one, if to is empty. Only the leader can. It is answered when this server
// does not lead any more, with nil, which need not mean that the other does; or goes on, with ErrNotTakenOver.
func (d *Door) HandOver(to string, caller Caller) {
	if !d.admit(0) {
		caller.Answer(Answer{Err: ErrOverloaded})
		return
	}
	call := handoverCall{to, caller}
	if err := d.enter(func() { d.handovers = append(d.handovers, call) }); err != nil {
		d.answerHandover(call, err)
	}
}

func (d *Door) answerHandover(call handoverCall, err error) {
	d.release(1, 0)
	call.caller.Answer(Answer{Err: err})
}

// handOver refuses: only a leader can.
func (active) handOver(s *server, call handoverCall) {
	s.door.answerHandover(call, s.role.notLeader(s))
}

func (l *leader) handOver(s *server, call handoverCall) {
	if call.to == s.id {
		s.door.answerHandover(call, nil)
		return
	}
	if err := l.handsOver(s, call.to); err != nil {
		s.door.answerHandover(call, err)
		return
	}
	l.handover.caller = call.caller
}

// handsOver begins a handover, or says why it cannot.
func (l *leader) handsOver(s *server, to string) error {
	if l.handover.to != "" {
		return ErrHandingOver
	}
	if s.charter().level < messages.LevelMembership {
		return l.levelError(messages.LevelMembership, "hand over")
	}
	if to == "" {
		to = l.successor(s)
	}
	if err := l.canLead(s, to); err != nil {
		return err
	}
	s.c.Logger.Info("hands over", "to", to, "term", s.currentTerm)
	l.handover = handover{to: to, until: s.c.Clock.Now().Add(s.c.Timing.Election)}
	l.askToStand(s)
	return nil
}

// successor is the voter that lacks the least, one that was heard if there is any; empty: there is none.
func (l *leader) successor(s *server) string {
	var best *progress
	better := func(p *progress) bool {
		return best == nil || p.round > 0 && best.round == 0 || (p.round > 0) == (best.round > 0) && p.match > best.match
	}
	for _, p := range l.all {
		if p.id != s.id && l.canLead(s, p.id) == nil && better(p) {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	return best.id
}

// canLead says why a member cannot take over.
func (l *leader) canLead(s *server, id string) error {
	p, since := l.all.of(id), s.c.Clock.Now().Add(-s.c.Timing.Election)
	switch part := s.configuration().PartOf(id); {
	case id == "":
		return fmt.Errorf("%w: no other voter is well", ErrCannotLead)
	case part == Learner:
		return fmt.Errorf("%w: %s has no vote; promote it first", ErrCannotLead, id)
	case part == Absent || p == nil:
		return fmt.Errorf("%w: %.64q is not in the group", ErrCannotLead, id)
	case !p.heard.After(since): // or has not led for that long
		return fmt.Errorf("%w: %s was not heard for an election timeout", ErrCannotLead, id)
	case p.match < s.commitIndex && !p.rose.After(since):
		return fmt.Errorf("%w: %s stores nothing", ErrCannotLead, id)
	}
	return nil
}

// askToStand sends TimeoutNow to a target that has the whole log, again at each heartbeat. No lease may be left when the first leaves, and
// none may begin in this term: a voter that gets the target's request keeps no promise.
func (l *leader) askToStand(s *server) {
	h := &l.handover
	if h.to == "" || l.all.match(h.to) < s.log.last {
		return
	}
	h.asked = true
	l.forgoLease(s)
	s.sendTo(h.to, &messages.TimeoutNow{Header: s.header(h.to), Round: l.round})
}

// retires says whether the leader is to hand over by itself: its disk stands still, or it is no voter any more.
func (l *leader) retires(s *server) bool { return s.stalled() || !s.configuration().votes(s.id) }

// handoverOver ends a handover, if one is under way; err is nil when this server leads no more.
func (l *leader) handoverOver(s *server, err error) {
	h := l.handover
	l.handover = handover{}
	if h.to == "" {
		return
	}
	s.c.Logger.Info("the handover is over", "to", h.to, "term", s.currentTerm, "err", err)
	if h.caller != nil {
		s.door.answerHandover(handoverCall{h.to, h.caller}, err)
	}
}

// timeoutNow obeys a leader that hands over: this server stands at once, without a pre-vote, which the voters that hear the leader would
// deny. What is older than what was heard from the leader since is void: it went on.
func (f *follower) timeoutNow(s *server, m *messages.TimeoutNow) {
	current := m.Header.Term == s.currentTerm && m.Header.From == f.leader && m.Round >= f.ack.round
	if current && s.votes(s.configuration()) && s.log.last > 0 && !s.stalled() {
		s.become(&candidate{campaign: true, transfer: true})
	}
}

// handedTo says whether the leader of this server's term asked the candidate to stand in the next one: nobody need keep to that leader, nor
// what it was promised.
func (s *server) handedTo(m *messages.RequestVote) bool {
	return m.Transfer && !m.PreVote && m.Header.Term == s.currentTerm+1
}
