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

// await returns what f does, or false when ctx is done before: f, which nothing can end, is then left behind.
func await[T any](ctx context.Context, f func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}
