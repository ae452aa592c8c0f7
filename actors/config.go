package actors

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Member is one node of a group.
type Member struct {
	// ID is the node's id.
	ID string
	// Address is the node's address in Proto.Actor: where peers reach it, host:port.
	Address string
	// StoreID is the id of the node's data directory; 0: not known yet.
	StoreID uint64
}

// Config is all that a server is given. Zero values of Timing and Limits mean their defaults.
type Config struct {
	// Group names the group; the server's actor is "raft/<Group>" on every member.
	Group string
	// ID is this node's id: one of Members.
	ID string
	// Members are those that the group is founded by. Later its log says who is in it.
	Members []Member
	// ClusterID is not 0 for a node that joins a group that was founded without it: there are no Members then.
	ClusterID uint64
	// Hints are where members may be, besides their addresses in the configuration.
	Hints []Member
	// Reconfigured, if set, is told the configuration in force: by Start, and from the server's mailbox when it changes. It must not
	// block.
	Reconfigured func(*Configuration)
	// Level is the newest feature level that this server says to know; 0: this build's. Tests run mixed versions with it.
	Level uint32
	// WithoutForwarding: only the leader takes callers.
	WithoutForwarding bool
	// ClientAddress is where clients reach this node; followers learn it while it leads.
	ClientAddress string
	Machine       StateMachine

	Shared
	Number persistence.GroupID
	Clock  Clock
	// Seed of this server's random choices: give every node another one.
	Seed uint64
	// Props are added to every actor of the group; a simulator puts its mailbox and dispatcher here.
	Props []actor.PropsOption
	// Observe, if set, sees the server after every message. It must not block.
	Observe func(Observation)
	// ObserveSessions, if set, may write the sessions as they are after the entry at index. It must not keep the writer.
	ObserveSessions func(index uint64, sessions func() io.WriterTo)
	Logger          *slog.Logger

	Timing Timing
	Limits Limits
}

// Timing of elections.
type Timing struct {
	// Heartbeat is how often an idle leader is heard; default 100 ms.
	Heartbeat time.Duration
	// Election is T: timeouts are drawn from [T, 2T]; default 500 ms.
	Election time.Duration
	// DiskStall is how old a leader's unsynced batch may get before it steps down; default 10 s.
	DiskStall time.Duration
}

// Limits bound what a server keeps and sends.
type Limits struct {
	// EntryBytes is the largest command; default 2 MiB.
	EntryBytes int
	// MessageBytes: an AppendEntries is closed when its entries exceed it; default 256 KiB.
	MessageBytes int
	// InflightMessages and InflightBytes bound what is sent to one follower and not yet acknowledged; default 128 and 4 MiB.
	InflightMessages int
	InflightBytes    int
	// AdmittedCommands and AdmittedBytes bound what is admitted and not yet answered; default 4096 and 64 MiB. What is
	// admitted waits for all that was admitted before it. Callers that wait are goroutines, and heartbeats have to run among them.
	// As many commands may wait for room in the session that their node has for them, and as many reads for a leader.
	AdmittedCommands int
	AdmittedBytes    int
	// TailBytes and TailEntries bound what is kept in memory of the log's durable end, for followers; default 16 MiB and 32768.
	TailBytes   int
	TailEntries int
	// ApplyBytes and ApplyEntries bound what is handed to the state machine at a time; default 1 MiB and 4096.
	ApplyBytes   int
	ApplyEntries int
	// SnapshotAfter is how many bytes of entries are applied until the next snapshot is taken; default: as many as the last snapshot has,
	// at least 64 MiB. So snapshots write at most about as much as the log does (thesis 5.1.2).
	SnapshotAfter int64
	// LogKeep is how many bytes of entries stay behind a cut, for followers that lag; default: as many as the snapshot has, within 64 MiB
	// and 1 GiB.
	LogKeep int64
	// Sessions bound those of clients. A leader's apply from the next opening on.
	Sessions SessionLimits
	// ChunkBytes is how much of a snapshot one message carries; default 64 KiB. A snapshot is written in pieces of four chunks.
	ChunkBytes int
}

const (
	leastLog = 64 << 20
	mostLog  = 1 << 30
)

// snapshotAfter is SnapshotAfter, or its default after a snapshot of this size.
func (l *Limits) snapshotAfter(size uint64) int64 {
	if l.SnapshotAfter > 0 {
		return l.SnapshotAfter
	}
	return int64(max(size, leastLog))
}

// logKeep is LogKeep, or its default after a snapshot of this size.
func (l *Limits) logKeep(size uint64) int64 {
	if l.LogKeep > 0 {
		return l.LogKeep
	}
	return int64(min(max(size, leastLog), mostLog))
}

// granule is how exactly a server knows the size of parts of its log.
func (l *Limits) granule() int64 {
	return min(coarsest, l.snapshotAfter(0)/16, l.logKeep(0)/16)
}

const (
	coarsest       = 64 << 10
	granulesOfNode = 1 << 16
)

// Granule is how exactly the sizes of logs must be known, in bytes, so that many short logs stay within a budget.
func Granule(logBudget int64) int64 {
	orDefault(&logBudget, defaultBudget)
	return max(1, min(coarsest, logBudget/granulesOfNode))
}

// pieceBytes is how much of a snapshot is written at a time.
func (l *Limits) pieceBytes() int { return 4 * l.ChunkBytes }

func (t *Timing) setDefaults() {
	orDefault(&t.Heartbeat, 100*time.Millisecond)
	orDefault(&t.Election, 500*time.Millisecond)
	orDefault(&t.DiskStall, 10*time.Second)
}

func (l *Limits) setDefaults() {
	orDefault(&l.EntryBytes, 2<<20)
	orDefault(&l.MessageBytes, 256<<10)
	orDefault(&l.InflightMessages, 128)
	orDefault(&l.InflightBytes, 4<<20)
	orDefault(&l.AdmittedCommands, 4096)
	orDefault(&l.AdmittedBytes, 64<<20)
	orDefault(&l.TailBytes, 16<<20)
	orDefault(&l.TailEntries, 32768)
	orDefault(&l.ApplyBytes, 1<<20)
	orDefault(&l.ApplyEntries, 4096)
	orDefault(&l.ChunkBytes, defaultChunk)
	l.Sessions.setDefaults()
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate sets defaults and says what is wrong with the configuration.
func (c *Config) Validate() error {
	if err := c.Timing.Validate(); err != nil {
		return err
	}
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	orDefault(&c.Level, messages.Level)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Group == "":
		return errors.New("a group needs a name")
	case c.Machine == nil:
		return fmt.Errorf("group %s needs a state machine", c.Group)
	case c.Store == nil || c.Journal == nil || c.Clock == nil:
		return fmt.Errorf("group %s needs what StartShared gives, and a clock", c.Group)
	}
	if c.ClusterID != 0 && len(c.Members) == 0 {
		return nil
	}
	return validateMembers(c.ID, c.Members)
}

// Validate sets defaults and says what is wrong.
func (t *Timing) Validate() error {
	t.setDefaults()
	if t.Heartbeat <= 0 || t.Election < 2*t.Heartbeat {
		return fmt.Errorf("the election timeout (%v) must be at least twice the heartbeat interval (%v)", t.Election, t.Heartbeat)
	}
	return nil
}

// mostAdmittedBytes is half of what one write takes: all that is admitted may wait for one, with what each entry has around it.
const mostAdmittedBytes = 512 << 20

const defaultChunk = 64 << 10

// mostChunk is as much as a peer's queue may hold beside other mail.
const mostChunk = 1 << 20

// Validate sets defaults and says what is wrong.
func (l *Limits) Validate() error {
	l.setDefaults()
	switch {
	case l.EntryBytes < 1 || l.MessageBytes < 1 || l.InflightMessages < 1 || l.InflightBytes < 1 ||
		l.AdmittedCommands < 1 || l.AdmittedBytes < 1 || l.ApplyBytes < 1 || l.ApplyEntries < 1 ||
		l.SnapshotAfter < 0 || l.LogKeep < 0 || l.ChunkBytes < 1:
		return errors.New("limits must be positive")
	case l.EntryBytes > l.AdmittedBytes || l.AdmittedBytes > mostAdmittedBytes:
		return fmt.Errorf("the limit of admitted bytes (%d) must be at least that of an entry (%d) and at most %d",
			l.AdmittedBytes, l.EntryBytes, mostAdmittedBytes)
	case l.ChunkBytes > mostChunk:
		return fmt.Errorf("the limit of a chunk (%d) must be at most %d", l.ChunkBytes, mostChunk)
	}
	return l.Sessions.validate()
}

func validateMembers(self string, members []Member) error {
	seen := map[string]bool{}
	addresses := map[string]bool{}
	for _, m := range members {
		switch {
		case m.ID == "" || m.Address == "":
			return errors.New("every member needs an id and an address")
		case seen[m.ID]:
			return fmt.Errorf("member %s is listed twice", m.ID)
		case addresses[m.Address]:
			return fmt.Errorf("two members have the address %s", m.Address)
		}
		seen[m.ID], addresses[m.Address] = true, true
	}
	if !seen[self] {
		return fmt.Errorf("node %s is not among the members: list every node, itself included", self)
	}
	return nil
}
