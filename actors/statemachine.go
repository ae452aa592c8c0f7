package actors

import "context"

// StateMachine is what a group replicates. One actor calls it: never two calls at a time. A call that panics stops the group
// on this node.
type StateMachine interface {
	// Apply applies committed commands in log order and returns one Result for each. It must be deterministic: the same
	// commands give the same results on every node. The entries and what they point to are valid only during the call,
	// the slice of results until the next one; what results point to must not be changed afterwards.
	Apply(entries []Entry) []Result
	// Query answers a read. It must not change the state, and holds up Apply while it runs. The query is valid only during the
	// call; the result must not be changed afterwards.
	Query(ctx context.Context, query []byte) ([]byte, error)
}

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
