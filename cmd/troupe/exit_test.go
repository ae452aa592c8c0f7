package main

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/troupe-raft/troupe/cluster/client"
)

// Scripts repeat what failed: a write that may have taken effect, or has, must not look like that.
func TestOnlyWhatWasNotDoneFailed(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, exitDone},
		{client.ErrOutcomeUnknown, exitUnknown},
		{client.ErrAnswerNotKept, exitMute},
		{&muteError{"version 1", io.ErrShortWrite}, exitMute},
		{client.ErrUnavailable, exitFailed},
		{client.ErrInvalid, exitFailed},
		{client.ErrNoEndpoints, exitUsage},
		{usagef("no"), exitUsage},
		{errors.New("any other"), exitFailed},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("put: %w", err)
		}
		if code := exitOf(&terminal{err: io.Discard}, "troupe", err); code != c.code {
			t.Errorf("%v: %d, want %d", c.err, code, c.code)
		}
	}
}
