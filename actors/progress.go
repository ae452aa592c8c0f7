package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// progress is what a leader knows of one member, itself included (matchIndex[] of Figure 2). nextIndex is the replicator's.
type progress struct {
	id, address string
	// match is the highest index known to be replicated on the member, and durable there.
	match uint64
	rose  time.Time // when it last did
	// round is the last one that the member answered, heard is when.
	round uint64
	heard time.Time
	// promised is the last round in which the member promised what was asked for, see lease.
	promised uint64
	// level is the newest feature level that the member has said to know under this leadership.
	level uint32
	// does is what the replicator does; installing is the snapshot that it sends, since movedAt without progress.
	does       moved
	installing *messages.Snapshot
	// catchesUp: after a snapshot the member gets the log behind it, which is not to be cut while match rises.
	catchesUp bool
	movedAt   time.Time
	// left is the index of the configuration that the member is not in any more; 0: it is.
	left   uint64
	leftAt time.Time
	// farewell is the round whose answer shows that the member knows that it is committed; 0: it is not yet.
	farewell uint64
	learner  learner
	// replicator is nil for the leader itself.
	replicator *actor.PID

	matched uint64 // match after the message before, see invariants
}

// progresses are in the order of ids.
type progresses []*progress

// of is nil when no member has the id.
func (all progresses) of(id string) *progress {
	for _, p := range all {
		if p.id == id {
			return p
		}
	}
	return nil
}

// match is 0 when no member has the id.
func (all progresses) match(id string) uint64 {
	if p := all.of(id); p != nil {
		return p.match
	}
	return 0
}

// answered says who has answered a round.
func (all progresses) answered(round uint64) func(id string) bool {
	return func(id string) bool {
		p := all.of(id)
		return p != nil && p.round >= round
	}
}

// heardSince says who was heard after a moment.
func (all progresses) heardSince(then time.Time) func(id string) bool {
	return func(id string) bool {
		p := all.of(id)
		return p != nil && p.heard.After(then)
	}
}
