package messages

import (
	"errors"
	"fmt"
)

// ErrMalformedSession is why a command's place in a session cannot be one; the text says what is wrong.
var ErrMalformedSession = errors.New("malformed session")

// Check says what is wrong with a command's place in its session, or nil. Lowest may be 0: the client says nothing of its answers.
func (c SessionCommand) Check() error {
	switch {
	case c == SessionCommand{}:
		return nil
	case c.Session.Index == 0:
		return fmt.Errorf("%w: there is no session %s: give the id that the session was opened with", ErrMalformedSession, c.Session)
	case c.Serial == 0:
		return fmt.Errorf("%w: the serial is 0: number a session's commands from 1 on", ErrMalformedSession)
	case c.Lowest > c.Serial:
		return fmt.Errorf("%w: the lowest serial without an answer is %d, above the command's own, which is %d",
			ErrMalformedSession, c.Lowest, c.Serial)
	}
	return nil
}

// Command is the command's place in its session, checked; nil is none.
func (s *SessionSerial) Command() (SessionCommand, error) {
	if s == nil {
		return SessionCommand{}, nil
	}
	return SessionCommandOf(s.Id, s.Serial, s.Lowest)
}

// SessionCommandOf is the place of a command in a session, checked.
func SessionCommandOf(id []byte, serial, lowest uint64) (SessionCommand, error) {
	session, err := ParseSession(id)
	c := SessionCommand{session, serial, lowest}
	if err == nil {
		err = c.Check()
	}
	return c, err
}

// ParseSession is [ParseSessionID] for what clients send: its errors are ErrMalformedSession.
func ParseSession(id []byte) (SessionID, error) {
	session, err := ParseSessionID(id)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrMalformedSession, err)
	}
	return session, err
}
