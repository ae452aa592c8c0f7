package persistence

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// compactions lets none begin before the database is open. Pebble flushes what it found in its log, finds something to compact then,
// and would end its opening with waiting for that, however long it takes.
//
// The limit is Pebble's own, without the ticker that looks after limits that change: ours is one compaction at a time.
type compactions struct {
	*pebble.ConcurrencyLimitScheduler
	db   pebble.DBForCompaction
	open atomic.Bool
}

func newCompactions() *compactions {
	return &compactions{ConcurrencyLimitScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()}
}

// Register is called once, before anything else.
func (c *compactions) Register(goroutines int, db pebble.DBForCompaction) {
	c.db = db
	c.ConcurrencyLimitScheduler.Register(goroutines, db)
}

func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !c.open.Load() {
		return false, nil
	}
	return c.ConcurrencyLimitScheduler.TrySchedule()
}

// begin starts the compaction that waits, if one does.
func (c *compactions) begin() {
	c.open.Store(true)
	if granted, handle := c.TrySchedule(); granted && !c.db.Schedule(handle) {
		handle.Done() // looks again: one that came meanwhile was refused
	}
}
