package actors

import (
	"errors"
	"fmt"
)

// What a caller can learn instead of a result. Only ErrOutcomeUnknown leaves open whether a command takes effect; after
// any other of these it did not and will not. An unknown outcome may also be another of these, which says why: ask for
// ErrOutcomeUnknown first.
var (
	// ErrNotLeader is what a [*NotLeaderError] is.
	ErrNotLeader = errors.New("this node does not lead the group")
	// ErrOutcomeUnknown: the command may or may not take effect.
	ErrOutcomeUnknown = errors.New("the outcome is unknown: the command may or may not take effect; read before you repeat it")
	// ErrOverloaded: too much is admitted already.
	ErrOverloaded = errors.New("the group is overloaded: wait a little and try again")
	// ErrTooLarge: the command is larger than Limits.EntryBytes.
	ErrTooLarge = errors.New("the command is too large")
	// ErrStorageFailed: the node's disk failed; it promises nothing until it is restarted.
	ErrStorageFailed = errors.New("the node's storage failed: check its disk and restart the node")
	// ErrGroupFailed: the group's server or state machine panicked on this node.
	ErrGroupFailed = errors.New("the group failed on this node: see its log and restart the node")
	// ErrRestoring: the state machine is loading a snapshot.
	ErrRestoring = errors.New("this node is restoring a snapshot: ask another node, or try again")
	// ErrSessionGone: the command's session is not open (any more), so that this copy of it has no effect.
	ErrSessionGone = errors.New("the session is gone: open another one; if the command was sent before, its outcome is unknown")
	// ErrSerialBelowLowest: the client said that it has the answer to that command.
	ErrSerialBelowLowest = errors.New("the serial is below the lowest that the session waits for: take the next one")
	// ErrBeyondWindow: the session has too many commands without an answer.
	ErrBeyondWindow = errors.New("the serial is too far above the lowest that the session waits for: wait for earlier answers")
	// ErrTooManySessions: all of the group's sessions were used a moment ago.
	ErrTooManySessions = errors.New("the group has too many sessions, and all are in use: close some, or try again later")
	// ErrAnswerNotKept: the command took effect, and its answer is not known any more.
	ErrAnswerNotKept = errors.New("the command took effect before, and its answer was not kept: read what it did")
	// ErrClosed: the server was stopped.
	ErrClosed = errors.New("the group is stopped on this node: ask another node")
)

// LevelError is a group that cannot do something yet: not all of its members know it. It is an [ErrNotReady].
type LevelError struct {
	// What it is, as in "open sessions".
	What string
	// Members are the ids of those who do not, or were not heard of.
	Members []string
}

// ErrNotReady is of a group that cannot do that now.
var ErrNotReady = errors.New("the group is not ready for that")

func (e *LevelError) Error() string {
	return fmt.Sprintf("the group cannot %s: %s must run a newer troupe first", e.What, enumerate(e.Members))
}

// Is makes errors.Is(err, ErrNotReady) hold.
func (e *LevelError) Is(target error) bool { return target == ErrNotReady }

// NotLeaderError says who leads, as far as this server knows. It is an [ErrNotLeader].
type NotLeaderError struct {
	// LeaderID is empty when no leader is known.
	LeaderID string
	// ClientAddress is where clients reach the leader; it may be empty.
	ClientAddress string
	// Reason is why no leader is known; nil when one is.
	Reason error
}

func (e *NotLeaderError) Error() string {
	if e.LeaderID == "" && e.Reason != nil {
		return e.Reason.Error()
	}
	if e.LeaderID == "" {
		return "no leader is known: try again, or ask another node"
	}
	if e.ClientAddress == "" {
		return fmt.Sprintf("this node does not lead the group: ask node %s", e.LeaderID)
	}
	return fmt.Sprintf("this node does not lead the group: ask node %s at %s", e.LeaderID, e.ClientAddress)
}

// Is makes errors.Is(err, ErrNotLeader) hold.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// BehindIndexError is a read that waited for an index which was not applied in time.
type BehindIndexError struct {
	Index, Applied uint64
	// Cause is why it did not wait any longer, such as [context.DeadlineExceeded].
	Cause error
}

func (e *BehindIndexError) Error() string {
	return fmt.Sprintf("this node has applied the log up to entry %d, not yet to %d: ask another node, or wait longer", e.Applied, e.Index)
}

func (e *BehindIndexError) Unwrap() error { return e.Cause }

// RejectedError is a state machine's own refusal of a command: part of the replicated result, the same on every node.
type RejectedError struct{ Reason error }

func (e *RejectedError) Error() string {
	return "the state machine rejected the command: " + e.Reason.Error()
}
func (e *RejectedError) Unwrap() error { return e.Reason }
