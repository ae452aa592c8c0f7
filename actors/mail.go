package actors

import (
	"container/list"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// Mail inside one node. What a struct points to never changes after it was mailed.

// flush is what the first staged record mails to its own server: it arrives behind everything queued before it, which is the
// server's group commit.
type flush struct{}

// storageFailed: the node's disk promises nothing any more.
type storageFailed struct{ err error }

// connectionLost hints that the node at address may be gone.
type connectionLost struct{ address string }

// connectionMade hints that the node at address can be reached again.
type connectionMade struct{ address string }

// From a replicator to its server. Mail from a child carries the term of its leadership.
type (
	// contact: a reply to this leadership, which was sent after round began; its sender's log equals ours up to match.
	contact struct {
		header *messages.Header
		round  uint64
		match  uint64
		// promised is the last round in which it promised what was asked for.
		promised uint64
	}
	// higherTerm: a reply had a term above the leadership's.
	higherTerm struct{ term uint64 }
	// fetch asks for the entries that follow the last one, at most index, whose term is at most maxTerm; or for the snapshot.
	fetch struct {
		term           uint64
		replicator     *actor.PID
		member         string
		index, maxTerm uint64
		needsSnapshot  bool
	}
)

// From a leader to its replicators.
type (
	// appended: new entries of the leader's term.
	appended struct {
		prevIndex, prevTerm uint64
		entries             []messages.EncodedEntry
		commit              uint64
	}
	// fetched answers fetch. When inStore, the entries after prevIndex, up to last, are to be read from the store. A snapshot takes the
	// place of entries that were cut.
	fetched struct {
		snapshot            *messages.Snapshot
		prevIndex, prevTerm uint64
		entries             []messages.EncodedEntry
		inStore             bool
		last                uint64
	}
	// pause: no heartbeats until the next permit.
	pause struct{}
	// permit lets a replicator go on sending heartbeats until an election timeout has passed, and begins a round. A stuck server gives
	// none, and so does not go on leading.
	permit struct {
		round, commit uint64
		last          uint64
		header        *messages.Header
		until         time.Time
		now           bool          // send at once
		promise       time.Duration // that is asked for; 0: none
	}
)

// From a server to its machine, and back.
type (
	// apply hands over committed entries and who waits for them. Without entries the machine reads them from the store.
	apply struct {
		first, last uint64
		entries     []messages.EncodedEntry
		waiters     []waiter
		// taken by the machine, or by a server that stops before the machine came to it.
		taken atomic.Bool
	}
	applied struct{ index, time uint64 }
	// lookup hands over reads that may be answered once readIndex is applied. The machine takes each off as it answers it.
	lookup struct {
		readIndex uint64
		queries   []query
		place     *list.Element // among the door's
	}
	// turn comes back when the machine has seen to all mail before it.
	turn struct{}
	// refuseReads: nothing more will be applied, so that reads that wait for it are refused.
	refuseReads struct{ err error }
)

// waiter is a caller whose command is in the log at index.
type waiter struct {
	index  uint64
	bytes  int
	caller Caller
}
