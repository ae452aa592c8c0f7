// Package wait has the waits that end when a context does: a signal must not find a command that waits for something else.
package wait

import (
	"context"
	"time"
)

// For waits for that time, or until ctx is done, and then returns why.
func For(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Result returns what f does, or false when ctx is done before: f, which nothing can end, is then left behind.
func Result[T any](ctx context.Context, f func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}
