package actors

import (
	"errors"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// SessionLimits bound the sessions of a group. Those of the leader that opened the last session count, on all members.
type SessionLimits struct {
	// Sessions that are open at a time; default 4096.
	Sessions uint64
	// Window is how far a command's serial may be above the lowest that has no answer; default 4096.
	Window uint64
	// AnswerBytes are those of answers that are kept, all sessions together; default 64 MiB.
	AnswerBytes uint64
	// Keep is how long a session stays after its last command though there are too many; default 30 s. Time is that of the log.
	Keep time.Duration
	// TTL is how long after its last command a session ends; default 1 h.
	TTL time.Duration
}

func (l *SessionLimits) setDefaults() {
	orDefault(&l.Sessions, 4096)
	orDefault(&l.Window, 4096)
	orDefault(&l.AnswerBytes, 64<<20)
	orDefault(&l.Keep, 30*time.Second)
	orDefault(&l.TTL, time.Hour)
}

const (
	mostSessions    = 1 << 20
	mostWindow      = 1 << 16
	mostAnswerBytes = 1 << 30
)

func (l *SessionLimits) validate() error {
	switch {
	case l.Sessions > mostSessions || l.Window > mostWindow || l.AnswerBytes > mostAnswerBytes:
		return errors.New("the limits of sessions may be at most 1048576 sessions, a window of 65536, and 1 GiB of answers")
	case l.Keep < time.Millisecond || l.TTL < l.Keep:
		return errors.New("a session must be kept for a millisecond at least, and live at least as long as it is kept")
	}
	return nil
}

func (l *SessionLimits) encoded() *messages.SessionLimits {
	return &messages.SessionLimits{
		Sessions: l.Sessions, Window: l.Window, AnswerBytes: l.AnswerBytes,
		KeepMs: uint64(l.Keep.Milliseconds()), TtlMs: uint64(l.TTL.Milliseconds()),
	}
}
