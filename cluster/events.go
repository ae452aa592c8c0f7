package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/actors"
)

// Event is what became of a group on this node.
type Event struct {
	Group string
	Role  actors.Role
	// Leader is the id of the leader that is known in Term, empty when none is.
	Leader string
	Term   uint64
	// Err is why the group serves on this node no more, nil while it does.
	Err error
}

// Events says what the group is on this node now, and whenever that changes. Who does not take an event in time gets the latest in its
// place: nobody keeps Raft waiting. The channel is closed when ctx is done, and when the node was stopped, after the last event.
//
// An application that gave the node its actor system ([WithActorSystem]) finds the same on its EventStream, as *Event.
func (g *Group) Events(ctx context.Context) <-chan Event {
	if ctx == nil {
		ctx = context.Background()
	}
	events := make(chan Event, 1)
	go func() {
		defer close(events)
		g.watch(ctx, func(e Event) {
			select {
			case <-events: // it was not taken
			default:
			}
			events <- e
		})
	}()
	return events
}

// watch tells each event, on the goroutine of its caller.
func (g *Group) watch(ctx context.Context, tell func(Event)) {
	last := Event{Role: actors.Stopped}
	for over := false; ; {
		changed := g.door.Changed()
		if now := g.event(); !now.same(last) {
			last = now
			tell(now)
		}
		if over {
			return
		}
		select {
		case <-changed:
		case <-g.stopped:
			over = true
		case <-ctx.Done():
			return
		}
	}
}

// Removed is closed when this node has left the group, as far as it knows: it is of no more use there. It stays open when ctx is done
// before.
func (g *Group) Removed(ctx context.Context) <-chan struct{} {
	removed := make(chan struct{})
	go func() {
		for {
			changed := g.door.Changed()
			if errors.Is(g.Status().Unready, actors.ErrRemoved) {
				close(removed)
				return
			}
			select {
			case <-changed:
			case <-g.stopped:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return removed
}

func (g *Group) event() Event {
	s := g.Status()
	return Event{g.name, s.Role, s.LeaderID, s.Term, s.Err}
}

func (e Event) same(other Event) bool {
	return e.Group == other.Group && e.Role == other.Role && e.Leader == other.Leader && e.Term == other.Term &&
		fmt.Sprint(e.Err) == fmt.Sprint(other.Err) // errors cannot be compared
}
