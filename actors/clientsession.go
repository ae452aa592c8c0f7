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
