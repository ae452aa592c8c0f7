package clientport

import (
	"testing"
	"time"
)

// A hold that was asked to yield while it was the node that it waited for is asked again.
func TestWhoCouldNotBeAskedIsAskedAgain(t *testing.T) {
	r := newRoom(1, 1, time.Millisecond)
	asked := 0
	first := hold{owner: new(owner), pace: new(pace)}
	first.yield = func(error) bool {
		if asked++; asked == 1 {
			return false
		}
		r.keep(&first, 0)
		return true
	}
	second := hold{owner: new(owner), pace: new(pace)}
	if !r.take(t.Context(), &first, 1, 0) || !r.take(t.Context(), &second, 1, 10*time.Second) {
		t.Errorf("it was asked %d times", asked)
	}
}
