package actors

import (
	"slices"
	"time"
)

// A round needs the answers of a majority. For a few reads no more members are asked than that, those who answered last: messages and
// answers are most of what such a read costs. The others are asked when it takes long. For many reads all are asked: who is the quickest
// changes, and many wait for it.

const fewReads = 64

// late says that a round may wait for members that do not answer.
type late struct{ round uint64 }

// patienceOfRound is for how long only a majority is asked, or twice as long.
func (s *server) patienceOfRound() time.Duration { return s.c.Timing.Heartbeat / 10 }

func (l *leader) beginRound(s *server) {
	if len(l.reads.asked) > fewReads {
		l.beat(s, l.all)
		return
	}
	l.beat(s, l.lastToAnswer(s))
	l.watchRound(s)
}

// lastToAnswer are as many voters as make a quorum with the leader.
func (l *leader) lastToAnswer(s *server) (asked progresses) {
	voters := slices.DeleteFunc(slices.Clone(l.all), func(p *progress) bool {
		return p.replicator == nil || !s.configuration().votes(p.id)
	})
	slices.SortStableFunc(voters, func(a, b *progress) int { return b.heard.Compare(a.heard) })
	for n := range voters {
		asked = voters[:n]
		if s.configuration().Quorum().Heard(func(id string) bool { return id == s.id || asked.of(id) != nil }) {
			return asked
		}
	}
	return voters
}

func (l *leader) watchRound(s *server) {
	if !l.reads.timed {
		l.reads.timed = true
		s.c.Clock.After(s.patienceOfRound(), s.ctx.Self(), late{l.round})
	}
}

// late asks all, if a round has not been answered for long.
func (l *leader) late(s *server, round uint64) {
	r := &l.reads
	r.timed = false
	switch {
	case !r.underWay():
	case r.round <= round:
		l.beat(s, l.all)
	default:
		l.watchRound(s)
	}
}
