package actors

import (
	"bytes"
	"context"
	"io"
)

// StateMachine is what a group replicates. One actor calls it: never two calls at a time, and a call that panics stops the group
// on this node. Only a [View] works beside it, and queries beside each other if it is [Concurrent].
type StateMachine interface {
	// Apply applies committed commands in log order and returns one Result for each. It must be deterministic: the same
	// commands give the same results on every node. The entries and what they point to are valid only during the call,
	// the slice of results until the next one; what results point to must not be changed afterwards.
	Apply(entries []Entry) []Result
	// Query answers a read. It must not change the state, and holds up Apply while it runs. The query is valid only during the
	// call; the result must not be changed afterwards.
	Query(ctx context.Context, query []byte) ([]byte, error)
	// Snapshot freezes the state as the last Apply left it. It holds up Apply, so its time must not grow with the state. The next
	// call comes after the last view was closed. After an error the log grows on, and Snapshot is called again later.
	Snapshot() (View, error)
	// Restore replaces the state, whatever it is, by the one that a view wrote, perhaps on another node. It is also called on a new
	// state machine, and while a view is open, which stays as it is. A method Size() int64 of r says about how many bytes come; 0: that
	// is not known. After an error the group stops on this node: the state may be half of each.
	Restore(r io.Reader) error
}

// View is the state of a state machine at one moment (section 7).
type View interface {
	// WriteTo writes the state. It is called at most once, and runs beside Apply and Query, on another goroutine.
	io.WriterTo
	// Close ends the view: its memory may be changed. It is called once, as the state machine's own methods are, and not beside
	// WriteTo. WriteTo may not have been called, or not have come to its end.
	io.Closer
}

// Named is a state machine whose snapshots carry its name, so that no other kind of state machine restores them. Without a name it is
// that of the Go type.
type Named interface{ MachineName() string }

// ViewOf is the view of a small state that is encoded at once. The state must not be changed any more.
func ViewOf(state []byte) View { return view{bytes.NewReader(state)} }

type view struct{ io.WriterTo }

func (view) Close() error { return nil }

// Entry is one committed command.
type Entry struct {
	// Index is the entry's place in the log. Indexes rise, with gaps where the log holds entries of Raft itself.
	Index   uint64
	Command []byte
}

// Result is what a command came to.
type Result struct {
	Value []byte
	// Err is a deterministic rejection, replicated like any result.
	Err error
}
