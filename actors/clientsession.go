package actors

import (
	"encoding/binary"
	"errors"

	"github.com/troupe-raft/troupe/messages"
)

// OpenedSession is what a client is told of a session that was opened.
type OpenedSession struct {
	ID messages.SessionID
	// Window is how far a serial may be above the lowest.
	Window uint64
}

func (o OpenedSession) encoded() []byte { return binary.AppendUvarint(o.ID.Bytes(), o.Window) }

// DecodeOpenedSession reads the answer to [Door.OpenSession].
func DecodeOpenedSession(b []byte) (OpenedSession, error) {
	if len(b) < messages.SessionIDBytes {
		return OpenedSession{}, errors.New("the answer to the opening of a session is too short")
	}
	id, err := messages.ParseSessionID(b[:messages.SessionIDBytes])
	window, n := binary.Uvarint(b[messages.SessionIDBytes:])
	if err == nil && n <= 0 {
		err = errors.New("the answer to the opening of a session has no window")
	}
	return OpenedSession{id, window}, err
}

// ClientSession is the client's half of a session (thesis 6.3). It gives commands their serials, and knows which of them may be sent again,
// and what became of each. When its session is gone it asks for another one. All copies of a command have the same serial, so that one
// of them takes effect at most. It has no lock: its owner calls it from one goroutine at a time.
type ClientSession struct {
	random func() uint64
	nonce  uint64
	// opened has no ID while no session is open.
	opened OpenedSession
	// next is the serial of the next new command. All serials below lowest are over.
	next, lowest uint64
	// over are those of the serials from lowest on whose command is answered or given up.
	over serials
}

// NewClientSession returns a session that is yet to be opened. random gives the nonces, which must not repeat those of others.
func NewClientSession(random func() uint64) *ClientSession {
	return &ClientSession{random: random, nonce: random()}
}

// Opening returns the nonce with which to open a session, if none is open. Until that is answered it is the same at every call, and may be
// sent to any member, however often.
func (s *ClientSession) Opening() (nonce uint64, needed bool) { return s.nonce, !s.isOpen() }

func (s *ClientSession) isOpen() bool { return s.opened.ID != (messages.SessionID{}) }

// Opened takes the answer to an opening. One that was not asked for, or not any more, is ignored.
func (s *ClientSession) Opened(o OpenedSession) {
	if s.isOpen() || o.ID.Nonce != s.nonce {
		return
	}
	s.opened, s.next, s.lowest, s.over = o, 1, 1, serials{}
}

// ID is the open session's, for closing it; the zero value when none is open.
func (s *ClientSession) ID() messages.SessionID { return s.opened.ID }

// Send returns the place of the next copy of a command. ok is false while the command must wait: for a session, or for the answers to
// earlier commands.
func (s *ClientSession) Send(c *ClientCommand) (copy messages.SessionCommand, ok bool) {
	if c.over {
		panic("a command is sent that is answered or given up")
	}
	if c.around == 0 && (c.serial == 0 || c.session != s.opened.ID) {
		if !s.isOpen() || s.next-s.lowest >= s.opened.Window {
			return messages.SessionCommand{}, false
		}
		c.session, c.serial = s.opened.ID, s.next
		s.next++
	}
	c.around++
	copy = messages.SessionCommand{Session: c.session, Serial: c.serial, Lowest: 1}
	if c.session == s.opened.ID { // otherwise there is nothing to forget
		copy.Lowest = s.lowest
	}
	return copy, true
}

// Settle notes what became of a copy that was sent, and says what that means for the command.
func (s *ClientSession) Settle(c *ClientCommand, fate CopyFate) CommandFate {
	if fate == CopyHomeless && c.session == s.opened.ID {
		s.opened, s.nonce = OpenedSession{}, s.random()
	}
	if c.over {
		return CommandOver
	}
	switch fate {
	case CopyAnswered:
		s.end(c)
		return CommandAnswered
	case CopyRefused:
		c.around--
	case CopyHomeless:
		// The other copies may have taken effect before the session ended, and no further copy can tell.
		if c.around--; c.around > 0 {
			s.end(c)
			return CommandUnknown
		}
	}
	return CommandUnanswered
}

// GiveUp ends a command that has no answer. If a copy of it may still be around, it is unknown whether it takes effect; otherwise it does
// not.
func (s *ClientSession) GiveUp(c *ClientCommand) (unknown bool) {
	if !c.over {
		s.end(c)
	}
	return c.around > 0
}

// end lets the session wait for a command no longer.
func (s *ClientSession) end(c *ClientCommand) {
	c.over = true
	if c.serial == 0 || c.session != s.opened.ID {
		return
	}
	s.over.add(c.serial)
	for s.over.has(s.lowest) {
		s.lowest++
	}
	s.over.dropBelow(s.lowest)
}
