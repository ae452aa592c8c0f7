package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// mostInFlight is how many calls of a client are under way at a time, unless it is told otherwise. The next wait for their context.
const mostInFlight = 8192

// flight bounds the calls under way.
type flight struct {
	slots   chan struct{}
	stopped atomic.Bool
	// landed is closed when the flight is stopped and no call is under way.
	landed chan struct{}
	once   sync.Once
}

func newFlight(most int) *flight {
	return &flight{slots: make(chan struct{}, most), landed: make(chan struct{})}
}

func (f *flight) enter(ctx context.Context) error {
	select {
	case f.slots <- struct{}{}:
	default:
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			text := fmt.Sprintf("the client has %d calls under way, and none of them ended in time", cap(f.slots))
			return &callError{text: text, kind: ErrUnavailable, cause: errors.Join(ctx.Err(), ErrOverloaded)}
		}
	}
	if f.stopped.Load() {
		f.leave()
		return ErrClosed
	}
	return nil
}

func (f *flight) leave() {
	<-f.slots
	f.land()
}

// stop lets no more calls in.
func (f *flight) stop() {
	f.stopped.Store(true)
	f.land()
}

func (f *flight) land() {
	if f.stopped.Load() && len(f.slots) == 0 {
		f.once.Do(func() { close(f.landed) })
	}
}
