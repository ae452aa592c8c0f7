package clientport

import (
	"container/list"
	"time"
)

// owner is who holds one or several parts of a room, whose mutex guards it.
type owner struct {
	held     int64
	searched time.Time // as in room
}

// hold is a part of a room. The zero value holds nothing.
type hold struct {
	owner *owner
	pace  *pace
	// yield asks whoever has the hold to give it back soon, and says why. It is false when that was not the time to ask. It is called
	// from any goroutine, and returns soon.
	yield func(reason error) bool

	amount int64
	place  *list.Element // among the room's; nil: it holds nothing
	asked  bool          // to yield
}
