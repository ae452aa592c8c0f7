package actors

import "time"

// alarm is a role's deadline. At most one wake-up is under way; it is never cancelled, and rechecks the deadline when it comes.
type alarm struct {
	deadline time.Time
	// The wake-up under way: when it is due, and its number. Earlier ones are ignored.
	due    time.Time
	number uint64
	// graced: the wake-up was late once already.
	graced bool
}

type wake struct{ number uint64 }

// setAlarm moves the deadline.
func (s *server) setAlarm(d time.Duration) {
	s.alarm.deadline = s.c.Clock.Now().Add(d)
	s.alarm.graced = false
	if s.alarm.due.IsZero() || s.alarm.due.After(s.alarm.deadline) {
		s.schedule(d)
	}
}

func (s *server) schedule(d time.Duration) {
	s.alarm.number++
	s.alarm.due = s.c.Clock.Now().Add(d)
	s.c.Clock.After(d, s.ctx.Self(), wake{s.alarm.number})
}

// wake checks the deadline. A wake-up that comes much too late was not the only thing to wait (a collection, a stopped process):
// mail that waits in mailboxes and sockets is read before anything is decided.
func (s *server) wake(m wake) {
	if m.number != s.alarm.number {
		return
	}
	now := s.c.Clock.Now()
	late := now.Sub(s.alarm.due) > s.c.Timing.Election/2
	s.alarm.due = time.Time{}
	switch {
	case s.alarm.deadline.IsZero():
	case late && !s.alarm.graced:
		s.alarm.graced = true
		s.schedule(s.c.Timing.Heartbeat)
	case now.Before(s.alarm.deadline):
		s.schedule(s.alarm.deadline.Sub(now))
	default:
		s.alarm.deadline = time.Time{}
		s.role.timeout(s)
	}
}
