package actors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What keeps a server from serving, as [Status].Unready says it, is one of the errors below: a sentence that says what to do, and a
// value that can be compared.

// NoLeaderError is a server that knows no leader.
type NoLeaderError struct {
	// Members of the group, and how many of them the next election needs: all, while the group is not Founded.
	Members, Needed int
	Founded         bool
	// Unheard members do not answer, Foreign ones answer from a data directory that does not count: ids, empty until an
	// election failed.
	Unheard, Foreign string
	// Elsewhere are members that answer as nodes of another cluster.
	Elsewhere string
	// Disagreeing members were restored from another backup than this server.
	Disagreeing string
	// Stalled: this node's disk stands still, so that it does not stand for election.
	Stalled bool
	// Empty: the group has a log, and this server has nothing of it.
	Empty bool
}

// BehindError is a server that has applied less than the leader has committed.
type BehindError struct {
	// Goal is an index that the leader had committed.
	Goal uint64
}

// NotCountedError is a server whose node other members know by another data directory, so that what it says does not count.
type NotCountedError struct {
	// By names those members.
	By string
}

// ErrNothingCommitted is a leader that was elected, and has committed nothing in its term yet (section 8).
var ErrNothingCommitted = errors.New("this node was elected and has committed nothing in its term yet")

// ErrRemoved is a server that is not in its group any more.
var ErrRemoved = errors.New("this node was removed from the group: stop it; to add it again, start it with an empty directory")

func (e NoLeaderError) Error() string {
	parts := []string{fmt.Sprintf("no leader is known: an election needs %d of %d members", e.Needed, e.Members)}
	if !e.Founded {
		parts[0] = fmt.Sprintf("the group is not founded yet: its first election needs all %d members", e.Members)
	}
	if e.Members == 0 {
		parts[0] = "this node joins the group, and the group's leader has not sent it the log yet"
	}
	if e.Unheard != "" {
		parts = append(parts, e.Unheard+" "+isOrAre(e.Unheard)+" not heard: start what does not run, and check the network")
	}
	if e.Foreign != "" {
		parts = append(parts, "what comes from "+e.Foreign+" does not count: it has another data directory than before")
	}
	if e.Elsewhere != "" {
		parts = append(parts, e.Elsewhere+" "+isOrAre(e.Elsewhere)+" in another cluster: if most voters were lost, and this node "+
			"was left behind, let it join with an empty directory; otherwise check its --initial-cluster")
	}
	if e.Disagreeing != "" {
		parts = append(parts, e.Disagreeing+" and this node were restored from different backups: restore them from the same one, "+
			"or start all nodes but one with empty directories")
	}
	if e.Stalled {
		parts = append(parts, "this node's disk stands still: see to it")
	}
	if e.Empty {
		parts = append(parts, "this node has nothing of the group's log: it is new, or its directory was wiped")
	}
	return strings.Join(parts, "; ")
}

func isOrAre(names string) string {
	if strings.Contains(names, " and ") {
		return "are"
	}
	return "is"
}

func (e BehindError) Error() string {
	return fmt.Sprintf("this node is catching up: entry %d is committed, and not applied here yet", e.Goal)
}

func (e NotCountedError) Error() string {
	return fmt.Sprintf("what this node says does not count: %s knew it by another data directory. "+
		"It was wiped, replaced or copied: give the node its own directory back", e.By)
}

// enumerate joins names as a sentence does.
func enumerate(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// leaderless is a stretch of time in which a server knows no leader.
type leaderless struct {
	since time.Time // zero: a leader is known
	// long: two election timeouts passed.
	long   bool
	told   string // what the log was told last
	toldAt time.Time
}

// watchLeader notes when a leader is lost, and when one is known again.
func (s *server) watchLeader() {
	l := &s.leaderless
	switch leader := s.role.leaderID(s); {
	case leader == "" && l.since.IsZero():
		l.since = s.c.Clock.Now()
	case leader != "" && !l.since.IsZero():
		if l.told != "" {
			s.c.Logger.Warn("a leader is known again", "leader", leader, "after", s.c.Clock.Now().Sub(l.since), "term", s.currentTerm)
		}
		s.leaderless = leaderless{}
	}
}

// retell is after how many election timeouts the log may be told another reason for the same stretch without a leader.
const retell = 20

// tellNoLeader tells the log that two election timeouts passed without a leader, and later when the reason has changed.
func (s *server) tellNoLeader() {
	l, now := &s.leaderless, s.c.Clock.Now()
	l.long = true
	if why := s.noLeader().Error(); l.told == "" || why != l.told && now.Sub(l.toldAt) > retell*s.c.Timing.Election {
		s.c.Logger.Warn("no leader is known for two election timeouts", "because", why, "term", s.currentTerm)
		l.told, l.toldAt = why, now
	}
}

// noLeader says why no leader is known. A member that was not heard for three election timeouts did not answer the last election.
func (s *server) noLeader() NoLeaderError {
	e := NoLeaderError{
		Members: len(s.configuration().Voters), Needed: len(s.configuration().Voters),
		Founded: s.log.last > 0 || s.foundedElsewhere, Empty: s.log.last == 0 && s.foundedElsewhere,
		Stalled: s.stalled(),
	}
	if e.Founded {
		e.Needed = majority(e.Members)
	}
	if !s.leaderless.long || e.Stalled { // it asked nobody yet, or does not ask
		return e
	}
	since := s.c.Clock.Now().Add(-3 * s.c.Timing.Election)
	var unheard, foreign, elsewhere, disagreeing []string
	for _, p := range s.peers.all {
		switch {
		case p.foreign != 0:
			foreign = append(foreign, p.ID)
		case p.elsewhere:
			elsewhere = append(elsewhere, p.ID)
		case !p.heard.After(since):
			unheard = append(unheard, p.ID)
		case p.disagrees && !e.Founded:
			disagreeing = append(disagreeing, p.ID)
		}
	}
	e.Unheard, e.Foreign, e.Disagreeing = enumerate(unheard), enumerate(foreign), enumerate(disagreeing)
	e.Elsewhere = enumerate(elsewhere)
	return e
}

// pace tells whether a server keeps up with its leader, itself or another: whatever is committed is applied here soon.
type pace struct {
	commit uint64 // the leader's commitIndex, as last heard
	goal   uint64 // an earlier one, to be applied here next
	since  time.Time
	behind bool
}

// measure takes note of what the leader has committed and what is applied here. A server that just met its leader is behind
// until it has applied what was committed then. Later it is behind when it needs more than two election timeouts for that.
func (p *pace) measure(commit, applied uint64, now time.Time, election time.Duration) {
	p.commit = max(p.commit, commit)
	if p.since.IsZero() {
		p.goal, p.since, p.behind = p.commit, now, true
	}
	switch {
	case applied >= p.goal:
		p.goal, p.since, p.behind = p.commit, now, false
	case now.Sub(p.since) > 2*election:
		p.behind = true
	}
}

func (p *pace) unready() error {
	if p.behind {
		return BehindError{p.goal}
	}
	return nil
}
