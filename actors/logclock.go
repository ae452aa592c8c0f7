package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// logClock counts log time while a server leads: from the highest that it had applied when it was elected. Its entries are stamped, once a
// second, so that every server knows the same time at the same entry. No entry is made for that: an idle group writes nothing.
type logClock struct {
	base           uint64
	since, stamped time.Time
}

const stampEvery = time.Second

// stamp is the time for the next entry; 0: it needs none.
func (l *leader) stamp(s *server) uint64 {
	c, now := &l.logClock, s.c.Clock.Now()
	if s.charter().level < messages.LevelSessions || now.Sub(c.stamped) < stampEvery {
		return 0
	}
	c.stamped = now
	return c.base + uint64(now.Sub(c.since).Milliseconds())
}

// accepted are the proposals that the group can have, complete. While it has members that do not know sessions, none is opened, so that
// there is none.
func (l *leader) accepted(s *server, proposals []proposal) []proposal {
	if s.charter().level >= messages.LevelSessions {
		for i := range proposals {
			if p := &proposals[i]; p.kind == messages.Entry_KIND_OPEN_SESSION {
				p.data = encode(&messages.OpenSession{Nonce: p.session.Session.Nonce, Limits: s.c.Limits.Sessions.encoded()})
				p.session = messages.SessionCommand{}
			}
		}
		return proposals
	}
	kept := proposals[:0]
	for _, p := range proposals {
		switch {
		case p.kind == messages.Entry_KIND_OPEN_SESSION:
			s.door.refuse([]proposal{p}, nil, l.levelError(messages.LevelSessions, "open sessions"))
		case p.session != (messages.SessionCommand{}):
			s.door.refuse([]proposal{p}, nil, ErrSessionGone)
		default:
			kept = append(kept, p)
		}
	}
	return kept
}

// levelError names those who do not know a feature level, which is needed for something.
func (l *leader) levelError(level uint32, what string) error {
	e := &LevelError{What: what}
	for _, p := range l.all {
		if p.level < level {
			e.Members = append(e.Members, p.id)
		}
	}
	return e
}
