package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/troupe-raft/troupe/cluster/client"
)

// Exit codes. Scripts rely on them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitUnknown = 3 // a write that may or may not take effect
	exitMute    = 4 // a write that was done, and an answer that was lost or could not be printed
)

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// muteError is a write that was done although its answer could not be printed.
type muteError struct {
	answer string
	cause  error
}

func (e *muteError) Unwrap() error { return e.cause }
func (e *muteError) Error() string {
	return fmt.Sprintf("the write is done (%s), but that could not be printed: %v", e.answer, e.cause)
}

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitOf prints an error as one line and returns the exit code that belongs to it.
func exitOf(t *terminal, name string, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.As(err, &usage):
		hint := strings.Replace(name, "troupe", "troupe help", 1)
		fmt.Fprintf(t.err, "%s: %s (see: %s)\n", name, oneLine(err.Error()), hint)
		return exitUsage
	}
	fmt.Fprintf(t.err, "%s: %s\n", name, oneLine(err.Error()))
	var mute *muteError
	switch {
	case errors.As(err, &mute), errors.Is(err, client.ErrAnswerNotKept):
		return exitMute
	case errors.Is(err, client.ErrOutcomeUnknown):
		return exitUnknown
	case errors.Is(err, client.ErrNoEndpoints):
		return exitUsage
	}
	return exitFailed
}

func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") }
