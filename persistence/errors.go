package persistence

import (
	"errors"
	"fmt"
	"slices"
)

// Errors to be matched with errors.Is. What the Store returns wraps them in a sentence that says what happened and what
// to do.
var (
	// ErrCompacted: the entries asked for were cut from the log.
	ErrCompacted = errors.New("the log was compacted")
	// ErrMissing: the log has no such entry.
	ErrMissing = errors.New("no such log entry")
	// ErrClosed: the Store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrFailed: the disk failed, or the Store was misused; nothing can be stored until it is opened again.
	ErrFailed = errors.New("the store has failed")
	// ErrDamaged: what is on disk is not what was written. Nothing was changed.
	ErrDamaged = errors.New("the stored data is damaged")
	// ErrLocked: another process, or this one, has the directory open.
	ErrLocked = errors.New("the directory is in use")
	// ErrForeign: the directory belongs to another node, cluster or program.
	ErrForeign = errors.New("the directory is not this node's")
	// ErrOlder: the directory was written by a build of troupe from before the first release.
	ErrOlder = errors.New("the directory has an older format")
	// ErrNewer: the directory was written by a newer troupe.
	ErrNewer = errors.New("the directory has a newer format")
)

// sentence is an error with a text of its own that matches a sentinel, and its cause if there is one.
type sentence struct {
	text  string
	kind  error
	cause error
}

func (e *sentence) Error() string { return e.text }

func (e *sentence) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

func say(kind error, format string, args ...any) error {
	return &sentence{text: fmt.Sprintf(format, args...), kind: kind}
}

func sayOf(kind, cause error, format string, args ...any) error {
	return &sentence{text: fmt.Sprintf(format, args...) + ": " + cause.Error(), kind: kind, cause: cause}
}

const (
	leaveAdvice = "put the directory back as the node last left it, or leave the node out: its groups go on while a majority of their " +
		"members runs"
	wipeAdvice = "nothing was changed; " + leaveAdvice
)

// damaged is the refusal to use what a group's range holds.
func damaged(dir string, group GroupID, format string, args ...any) error {
	return say(ErrDamaged, "the log of group %d in %s is damaged: %s; %s", group, dir, fmt.Sprintf(format, args...), wipeAdvice)
}
