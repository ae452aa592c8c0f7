package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/cluster/client"
)

var errInterrupted = errors.New("interrupted")

// interrupted is what there is to say when a command ends with err, and perhaps because of a signal: then it is only that, or for
// a write that was sent, also that nobody knows what became of it. Errors that have other causes stand.
func interrupted(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil || !errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, client.ErrOutcomeUnknown):
		return fmt.Errorf("%w; %w", errInterrupted, err)
	}
	return errInterrupted
}
