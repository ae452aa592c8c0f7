package actors

import (
	"sync"
	"sync/atomic"
)

// Role is what a server is in its term.
type Role uint8

// The roles of the paper, and two of servers that take no more part.
const (
	Follower Role = iota
	Candidate
	Leader
	// Failed servers promise nothing until the node is restarted.
	Failed
	Stopped
)

func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	case Failed:
		return "failed"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

// Status is what a server says of itself, as of the last message it handled.
type Status struct {
	Role Role
	Term uint64
	// LeaderID is the leader of Term, empty when unknown; ClientAddress is where clients reach it.
	LeaderID      string
	ClientAddress string
	CommitIndex   uint64
	AppliedIndex  uint64
	// LastIndex is the last index in the log, DurableIndex the last one that is synced here.
	LastIndex    uint64
	DurableIndex uint64
	// FirstIndex is where the log begins: what is before was cut. LogBytes are those of its entries.
	FirstIndex uint64
	LogBytes   int64
	// SnapshotIndex is up to where the newest snapshot has what was applied, 0: there is none; its file has SnapshotBytes.
	SnapshotIndex, SnapshotBytes uint64
	// SnapshotErr is why the last snapshot could not be taken, nil when it was.
	SnapshotErr error
	// ClusterID is the random id of the group's founding, or that of its recovery since; 0 until it is committed.
	ClusterID uint64
	// Configuration is the one in force: the newest in the log, committed or not.
	Configuration *Configuration
	// Ready: this server leads, and has committed an entry of its term.
	Ready bool
	// Unready is why this server cannot serve now, nil when it can: a [NoLeaderError], a [BehindError], a [NotCountedError], [ErrRemoved],
	// a [TooOldError], [ErrRestoring], [ErrNothingCommitted], or Err.
	Unready error
	// Err is why a Failed or Stopped server is so, otherwise nil.
	Err error
}

// Replication is how a leader sends to a follower.
type Replication struct {
	Member string
	// Mode is "probing", "streaming" or "installing".
	Mode string
	// Progress of a snapshot that is installed, from 0 to 1.
	Progress float64
}

// board shows a server's status to everyone. The indexes change with every message and are kept apart: a reader may see them a
// message later than the rest.
type board struct {
	rest                           atomic.Pointer[Status] // without indexes
	commit, applied, last, durable atomic.Uint64
	first, logBytes                atomic.Uint64
	replication                    atomic.Pointer[[]Replication]
	awaited                        awaited

	mu      sync.Mutex
	changed chan struct{} // closed when the rest changes; nil: nobody waits
}

// show is called by one goroutine at a time.
func (b *board) show(s Status) {
	b.commit.Store(s.CommitIndex)
	b.applied.Store(s.AppliedIndex)
	b.last.Store(s.LastIndex)
	b.durable.Store(s.DurableIndex)
	b.first.Store(s.FirstIndex)
	b.logBytes.Store(uint64(s.LogBytes))
	b.awaited.applied(s.AppliedIndex)
	s.CommitIndex, s.AppliedIndex, s.LastIndex, s.DurableIndex, s.FirstIndex, s.LogBytes = 0, 0, 0, 0, 0, 0
	if shown := b.rest.Load(); shown == nil || *shown != s {
		kept := s
		b.rest.Store(&kept)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.changed != nil {
			close(b.changed)
			b.changed = nil
		}
	}
}

func (b *board) showReplication(all []Replication) { b.replication.Store(&all) }

// configuration is the one that is shown.
func (b *board) configuration() *Configuration { return b.rest.Load().Configuration }

// change is closed at the next change of the status. Changes of its indexes do not count.
func (b *board) change() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

func (b *board) status() Status {
	s := *b.rest.Load()
	s.CommitIndex, s.AppliedIndex, s.LastIndex, s.DurableIndex = b.commit.Load(), b.applied.Load(), b.last.Load(), b.durable.Load()
	s.FirstIndex, s.LogBytes = b.first.Load(), int64(b.logBytes.Load())
	return s
}
