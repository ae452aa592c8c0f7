package actors

import (
	"slices"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

const (
	// leaseShare of what was promised is what a leader uses, so that clocks may run unevenly by 12 %.
	leaseShare = 0.88
	// leaseTime is how long a leader asks for promises after the last read that wanted a lease.
	leaseTime = 10 * time.Second
)

// lease is the time in which no other server can lead, because a majority promised so (thesis 6.4.1): a read needs no round then. Times are
// those since the machine's boot, which also pass while it is suspended.
type lease struct {
	wanted time.Time // when a read wanted it last
	// asked is the round whose promises are counted, 0: none; begun is when it began. A promise lasts from the receipt of what began later.
	asked uint64
	begun time.Duration
	until time.Duration
	// forgone: there is none in this leadership any more.
	forgone bool
}

// endLease ends the lease. Others may promise the next one.
func (l *leader) endLease(s *server) {
	s.door.beside.lease.hide()
	l.lease.asked, l.lease.until = 0, 0
}

// forgoLease ends the lease for as long as this leadership lasts.
func (l *leader) forgoLease(s *server) {
	l.endLease(s)
	l.lease.forgone = true
}

// unwanted says that no read wanted a lease for a while.
func (l *lease) unwanted(now time.Time) bool {
	return l.wanted.IsZero() || now.Sub(l.wanted) > leaseTime
}

// leaseLength is how long a promise lasts: messages carry whole milliseconds.
func (s *server) leaseLength() time.Duration { return s.c.Timing.Election.Truncate(time.Millisecond) }

// askPromises says how long a promise the present round asks for, 0: none.
func (l *leader) askPromises(s *server) time.Duration {
	length := s.leaseLength()
	if s.door.beside.lease.used.Swap(false) {
		l.lease.wanted = s.c.Clock.Now()
	}
	if l.lease.unwanted(s.c.Clock.Now()) || l.lease.forgone || s.charter().level < messages.LevelSessions {
		l.lease.asked = 0
		return 0
	}
	if now := s.c.Clock.SinceBoot(); l.lease.asked == 0 || now-l.lease.begun > length/2 {
		l.lease.asked, l.lease.begun = l.round, now
	}
	return length
}

// confirmLease begins a lease when a majority has promised what the round asked for.
func (l *leader) confirmLease(s *server) {
	promised := func(id string) bool {
		p := l.all.of(id)
		return id == s.id || p != nil && p.promised >= l.lease.asked
	}
	if l.lease.asked == 0 || !s.configuration().Quorum().Heard(promised) {
		return
	}
	l.lease.until = l.lease.begun + time.Duration(leaseShare*float64(s.leaseLength()))
	l.lease.asked = 0
	if s.commitIndex >= l.firstOfTerm {
		s.door.beside.lease.show(l.lease.until, s.commitIndex)
	}
}

// wantsLease notes that a read came for which a lease will do, and says whether there is one: then what is committed now answers it.
func (l *leader) wantsLease(s *server) bool {
	l.lease.wanted = s.c.Clock.Now()
	return s.commitIndex >= l.firstOfTerm && s.c.Clock.SinceBoot() < l.lease.until
}

func byLease(q query) bool { return q.read.Consistency == Lease }

// readByLease answers the reads that a lease will do for, if there is one, and returns the others.
func (l *leader) readByLease(s *server, queries []query) []query {
	if !slices.ContainsFunc(queries, byLease) || !l.wantsLease(s) {
		return queries
	}
	by, others := pick(queries, byLease)
	s.look(s.commitIndex, by)
	return others
}
