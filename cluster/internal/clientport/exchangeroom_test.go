package clientport

import (
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// While the stream's own calls take all its room, its client learns that the node lives.
func TestExchangeThatWaitsForRoomGivesSignsOfLife(t *testing.T) {
	_, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	go func() {
		for id := range uint64(64) {
			if s.Send(&messages.ExchangeRequest{Calls: []*messages.Call{submit(id+1, lateAndLong)}}) != nil {
				return
			}
		}
	}()
	for range 3 {
		if r, err := s.Receive(); err != nil || len(r.Answers) > 0 {
			t.Fatal(r, err)
		}
	}
}

// A stream has no more under way than its connection's share, and goes on when its calls are answered.
func TestExchangeHasNoMoreUnderWayThanItsShare(t *testing.T) {
	door, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	const calls = 40
	go func() {
		for id := range uint64(calls) {
			c := submit(id+1, lateAndLong)
			c.TimeoutMs = 500
			if s.Send(&messages.ExchangeRequest{Calls: []*messages.Call{c}}) != nil {
				return
			}
		}
	}()
	answered := 0
	for answered < calls {
		r, err := s.Receive()
		if err != nil {
			t.Fatal(answered, err)
		}
		if answered == 0 && len(r.Answers) > 0 {
			door.mu.Lock()
			if n, share := int(door.index), 64<<20/connectionShare/len(lateAndLong); n > 2*share { // the answers made room for more
				t.Errorf("%d calls are under way, where %d are a share", n, share)
			}
			door.mu.Unlock()
		}
		answered += len(r.Answers)
	}
}
