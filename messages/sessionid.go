package messages

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// SessionID names a client's session in its group (thesis 6.3): the index of the entry that opened it, and the client's random nonce. The
// zero value is no session.
type SessionID struct{ Index, Nonce uint64 }

// SessionIDBytes is the length of an encoded SessionID.
const SessionIDBytes = 16

// Bytes is what clients know the session by.
func (s SessionID) Bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.Index), s.Nonce)
}

// String is in hexadecimal digits.
func (s SessionID) String() string { return hex.EncodeToString(s.Bytes()) }

// ParseSessionID reads what Bytes made.
func ParseSessionID(b []byte) (SessionID, error) {
	if len(b) != SessionIDBytes {
		return SessionID{}, fmt.Errorf("a session has %d bytes, not %d", SessionIDBytes, len(b))
	}
	s := SessionID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	if s.Index == 0 {
		return SessionID{}, fmt.Errorf("there is no session %s", s)
	}
	return s, nil
}
