package actors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// Change is what the members of a group are to be (section 6).
type Change struct {
	// Base is the index of the configuration that the caller saw. When another one is in force, the change is refused. 0: any.
	Base uint64
	// Members have a data directory each, but for those that are in the group. A voter that was none before must be a learner that has
	// caught up under the present leader.
	Voters, Learners []Member
}

var (
	// ErrChangeUnderWay: the group's members change one after the other.
	ErrChangeUnderWay = errors.New("the group's members are being changed: wait until that is done")
	// ErrChangedMeanwhile: a change is based on a configuration that is not in force any more.
	ErrChangedMeanwhile = errors.New("the group's members have changed meanwhile: look at them again")
	// ErrBadMembers: no group can have these members.
	ErrBadMembers = errors.New("the group cannot have these members")
	// ErrTooFewLeft: of the voters that a removal leaves too few answer.
	ErrTooFewLeft = errors.New("too few voters would be left")
	// ErrNotCaughtUp: a voter that lacks much of the log would hold up the group.
	ErrNotCaughtUp = errors.New("the member has not caught up: add it as a learner, and wait until it has")
)

// NotMemberError is a change of who is not in the group.
type NotMemberError struct{ ID string }

func (e *NotMemberError) Error() string { return fmt.Sprintf("%.64q is not in the group", e.ID) }

// Reconfigure asks for other members. The answer's index is that of the configuration that then is in force, alone. If the group has these
// members, nothing changes.
func (d *Door) Reconfigure(c Change, caller Caller) {
	as := newConfiguration(c.Base, c.Voters, nil, c.Learners)
	d.propose(proposal{kind: messages.Entry_KIND_CONFIGURATION, data: encode(as.encoded()), caller: caller})
}

// changes begins the changes of members among the proposals, and returns the others.
func (l *leader) changes(s *server, proposals []proposal) []proposal {
	isChange := func(p proposal) bool { return p.kind == messages.Entry_KIND_CONFIGURATION }
	if !slices.ContainsFunc(proposals, isChange) {
		return proposals
	}
	others := proposals[:0]
	for _, p := range proposals {
		if !isChange(p) {
			others = append(others, p)
		} else if err := l.begins(s, p); err != nil {
			s.door.refuse([]proposal{p}, nil, err)
		}
	}
	return others
}

// begins appends the configuration that a caller asks for: a joint one, unless the voters stay.
func (l *leader) begins(s *server, p proposal) error {
	var m messages.Configuration
	if err := proto.Unmarshal(p.data, &m); err != nil {
		return fmt.Errorf("the change of members cannot be decoded: %w", err)
	}
	now, wanted := s.configuration(), decodeConfiguration(&m)
	next := newConfiguration(s.log.last+1, now.known(wanted.Voters), nil, now.known(wanted.Learners))
	if err := l.permits(s, wanted.Index, next); err != nil {
		return err
	}
	if next.equals(now) {
		s.answerWaiters([]waiter{{now.Index, p.bytes(), p.caller}}, nil)
		return nil
	}
	if !slices.Equal(ids(now.Voters), ids(next.Voters)) {
		next = newConfiguration(next.Index, next.Voters, now.Voters, next.Learners)
	}
	l.change = &p
	l.configure(s, next)
	return nil
}

// permits says why a change cannot be made now.
func (l *leader) permits(s *server, base uint64, next *Configuration) error {
	now := s.configuration()
	switch {
	case s.commitIndex < l.firstOfTerm:
		return fmt.Errorf("%w: %w", ErrNotReady, ErrNothingCommitted)
	case l.change != nil || now.Index > s.commitIndex || now.joint():
		return ErrChangeUnderWay
	case base != 0 && base != now.Index:
		return ErrChangedMeanwhile
	case s.charter().level < messages.LevelMembership:
		return l.levelError(messages.LevelMembership, "change its members")
	}
	if err := next.check(next.Index); err != nil {
		return fmt.Errorf("%w: %w", ErrBadMembers, err)
	}
	for _, m := range next.members {
		if had, in := now.Member(m.ID); in && had.StoreID != m.StoreID {
			return fmt.Errorf("%w: %s is in the group with another data directory; remove it first", ErrBadMembers, m.ID)
		}
	}
	for _, m := range next.Voters {
		if p := l.all.of(m.ID); !now.votes(m.ID) && (p == nil || !p.learner.caughtUp) {
			return fmt.Errorf("%w: %s", ErrNotCaughtUp, m.ID)
		}
	}
	return nil
}

// known fills in the data directories of those who are in the group.
func (c *Configuration) known(members []Member) []Member {
	for i := range members {
		if m, in := c.Member(members[i].ID); in && members[i].StoreID == 0 {
			members[i].StoreID = m.StoreID
		}
	}
	return members
}

// configure appends a configuration, which is in force from now on.
func (l *leader) configure(s *server, c *Configuration) {
	s.c.Logger.Info("the members change",
		"index", c.Index, "voters", ids(c.Voters), "outgoing", ids(c.Outgoing), "learners", ids(c.Learners))
	s.append(s.currentTerm, messages.Entry_KIND_CONFIGURATION, encode(c.encoded()))
	l.endLease(s) // it was promised by others
	l.reconcile(s)
	if !c.joint() && l.change != nil {
		s.waiters = append(s.waiters, waiter{c.Index, l.change.bytes(), l.change.caller})
		l.change = nil
	}
}

// settle goes on when the configuration in force is committed: a joint one gives way to the new one alone, and a leader that is no voter
// any more hands over (section 6).
func (l *leader) settle(s *server) {
	switch c := s.configuration(); {
	case c.Index > s.commitIndex || s.commitIndex < l.firstOfTerm:
	case c.joint():
		l.configure(s, newConfiguration(s.log.last+1, c.Voters, nil, c.Learners))
	case !c.votes(s.id) && l.handover.to == "":
		s.c.Logger.Info("is to stop leading: it is no voter any more", "term", s.currentTerm)
		if l.handsOver(s, "") != nil {
			s.become(&follower{})
		}
	}
}

// reconcile gives every member a replicator. Who left keeps its own, until it has the configuration that it is not in.
func (l *leader) reconcile(s *server) {
	c, now := s.configuration(), s.c.Clock.Now()
	for _, m := range c.members {
		p := l.all.of(m.ID)
		if p != nil && p.left != 0 {
			l.drop(s, p) // it may come back with another data directory
			p = nil
		}
		if p == nil {
			p = &progress{id: m.ID, heard: now, rose: now}
			l.all = append(l.all, p)
		}
		if m.ID != s.id && p.replicator == nil {
			l.replicate(s, p)
		}
		if c.votes(m.ID) {
			p.learner = learner{}
		} else if p.learner.since.IsZero() {
			p.learner = learner{goal: s.log.last, since: now}
		}
	}
	for _, p := range l.all {
		if _, in := c.Member(p.id); !in && p.id != s.id && p.left == 0 {
			p.left, p.leftAt, p.learner = c.Index, now, learner{}
		}
	}
	l.follow(s)
	slices.SortFunc(l.all, func(a, b *progress) int { return cmp.Compare(a.id, b.id) })
	s.door.board.showReplication(l.replication())
}

// follow moves replicators to where members are heard from now.
func (l *leader) follow(s *server) {
	for _, p := range l.all {
		if to := s.peers.of(p.id); p.replicator != nil && to != nil && p.address != to.pid.Address {
			s.ctx.Stop(p.replicator)
			l.replicate(s, p)
		}
	}
}

func (l *leader) replicate(s *server, p *progress) {
	to := s.peers.of(p.id)
	p.replicator, p.address = l.spawnReplicator(s, to), to.pid.Address
}

// toldFor is how long a member that left is told so, if it does not answer.
const toldFor = time.Minute

// release lets a member go that knows that it left: it has the entry, and answered a round that began when that was committed.
func (l *leader) release(s *server, p *progress) {
	switch {
	case p.left == 0 || p.match < p.left || s.commitIndex < p.left:
	case p.farewell == 0:
		p.farewell = l.round + 1
	case p.round >= p.farewell:
		l.drop(s, p)
	}
}

// forget lets members go that left, and do not answer.
func (l *leader) forget(s *server) {
	since := s.c.Clock.Now().Add(-toldFor)
	silent := func(p *progress) bool { return p.left != 0 && p.leftAt.Before(since) }
	for i := slices.IndexFunc(l.all, silent); i >= 0; i = slices.IndexFunc(l.all, silent) {
		l.drop(s, l.all[i])
	}
}

func (l *leader) drop(s *server, p *progress) {
	s.ctx.Stop(p.replicator)
	l.all = slices.DeleteFunc(l.all, func(other *progress) bool { return other == p })
}

// learner tells whether a member without a vote has caught up: it needed less than an election timeout for what was in the log when it had
// all before (thesis 4.2.1), or it has all that is committed. In a group that is slow under its load nobody has the log's end that soon.
type learner struct {
	goal     uint64
	since    time.Time // zero: it votes
	caughtUp bool
}

func (l *learner) reaches(s *server, match, firstOfTerm uint64) {
	if l.since.IsZero() || l.caughtUp {
		return
	}
	if l.caughtUp = match >= s.commitIndex && s.commitIndex >= firstOfTerm; l.caughtUp || match < l.goal {
		return
	}
	now := s.c.Clock.Now()
	l.caughtUp = now.Sub(l.since) < s.c.Timing.Election
	l.goal, l.since = s.log.last, now
}
