package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/persistence"
)

// Shared is what all groups of a node use together: its store, and the actors that work for all of them.
type Shared struct {
	Store *persistence.Store
	// Journal writes what servers stage, Archive writes snapshots, Uplink says when bulk may be sent, Pulse speaks for quiescent leaders.
	Journal, Archive, Uplink, Pulse *actor.PID
	// Run does what snapshots need of the disk.
	Run Executor

	quiet   *quietness
	granule int64 // how exactly servers tell the archive how long their logs are
}

const defaultBudget = 4 << 30

// SharedConfig is what a node's shared actors are given.
type SharedConfig struct {
	Store *persistence.Store
	// Writer stands for the store where the journal writes; nil: the store itself.
	Writer Writer
	Clock  Clock
	// Write runs the journal's writes, Run what snapshots need of the disk: many works at a time, each of which follows the one before.
	Write, Run Executor
	// Broken is told, from any goroutine, when one of the actors panicked, with an error that has a Stack() string: the servers of the node
	// must be told with Door.StorageFailed.
	Broken func(error)
	// Timing is that of the node's groups.
	Timing Timing
	// LogBudget is how many bytes of entries all logs of the node may have together, before the longest are cut; 0: 4 GiB.
	LogBudget int64
	// TransferRate is how many bytes of snapshots leave the node in a second, at most; 0: as many as links carry.
	TransferRate int64
	// ChunkBytes is how much of a snapshot one message carries; 0: 64 KiB.
	ChunkBytes int
}

// StartShared spawns the actors that the groups of a node share. Props are added to those of each.
func StartShared(root *actor.RootContext, c SharedConfig, props ...actor.PropsOption) (Shared, error) {
	orDefault(&c.LogBudget, defaultBudget)
	orDefault(&c.ChunkBytes, defaultChunk)
	if c.Writer == nil {
		c.Writer = c.Store
	}
	c.Timing.setDefaults()
	s := Shared{Store: c.Store, Run: c.Run, quiet: newQuietness(), granule: Granule(c.LogBudget)}
	for _, start := range []func() error{
		func() (err error) {
			s.Journal, err = startJournal(root, c.Writer, c.Write, c.Broken, props...)
			return err
		},
		func() (err error) { s.Archive, err = startArchive(root, c, props...); return err },
		func() (err error) { s.Uplink, err = startUplink(root, c, props...); return err },
		func() (err error) { s.Pulse, err = startPulse(root, c, s.quiet, props...); return err },
	} {
		if err := start(); err != nil {
			return Shared{}, err
		}
	}
	return s, nil
}

// spawnShared spawns an actor that is stopped for good when it panics.
func spawnShared(root *actor.RootContext, name string, a actor.Actor, broken func(error), props []actor.PropsOption) (*actor.PID, error) {
	options := append([]actor.PropsOption{actor.WithGuardian(&stopForGood{func(p *panicked) {
		broken(fmt.Errorf("the %s panicked: %w", name, p))
	}})}, props...)
	return root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return a }, options...), name)
}

// PIDs are of the actors, in the order in which they stop.
func (s Shared) PIDs() []*actor.PID { return []*actor.PID{s.Pulse, s.Archive, s.Uplink, s.Journal} }
