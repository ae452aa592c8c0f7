package actors

import (
	"errors"

	"github.com/troupe-raft/troupe/messages"
)

// ClientCommand is one command of a [ClientSession], of which several copies may be sent. The zero value is one that was not sent yet. It
// belongs to who owns the session.
type ClientCommand struct {
	session messages.SessionID
	// serial 0: it has no place in a session yet.
	serial uint64
	// around are copies that were sent, and that nobody has said to be without effect.
	around int
	over   bool
}

// CopyFate is what became of one copy of a command.
type CopyFate uint8

const (
	// CopyAnswered: the command took effect, by this copy or by an earlier one.
	CopyAnswered CopyFate = iota
	// CopyRefused: this copy did not and will not take effect.
	CopyRefused
	// CopyHomeless: this copy did not and will not take effect, for its session is gone.
	CopyHomeless
	// CopyLost: nobody can say.
	CopyLost
)

// FateOfCopy says what the error of an answer means for the copy that is answered.
func FateOfCopy(err error) CopyFate {
	var rejected *RejectedError
	switch {
	case err == nil, errors.As(err, &rejected), errors.Is(err, ErrAnswerNotKept):
		return CopyAnswered
	case errors.Is(err, ErrOutcomeUnknown): // before what it may also be
		return CopyLost
	case errors.Is(err, ErrSessionGone):
		return CopyHomeless
	}
	return CopyRefused
}

// CommandFate is what became of a command.
type CommandFate uint8

const (
	// CommandAnswered: it took effect once, and the answer is the one that just came.
	CommandAnswered CommandFate = iota
	// CommandUnanswered: send another copy, or give it up.
	CommandUnanswered
	// CommandUnknown: it took effect once or never, and nobody can say which.
	CommandUnknown
	// CommandOver: it was answered or given up before.
	CommandOver
)
