package persistence

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// compactions lets no compaction begin before the database is open. Pebble flushes what it found in its log, and then finds something
// to compact: its opening would wait for that, however long it takes.
//
// Pebble's own scheduler sets the limit, one compaction at a time, without its ticker: that serves limits that change.
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
		handle.Done() // Pebble looks again: a compaction that it asked for meanwhile was refused
	}
}
