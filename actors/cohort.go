package actors

import "time"

// cohort keeps a leader's callers together. When a batch is synced, some callers wait in the next one already, and most are about to be
// answered and to call again. If the next batch left at once, those would have to wait for its sync, and from then on there would be two
// cohorts that wait for each other's syncs. So the next batch leaves when the callers of the one before are answered and about as many
// wait again. It waits no longer than two syncs take, since followers may need long and callers may be gone; nor than a heartbeat.
type cohort struct {
	last, size uint64        // of the batch that was synced last: the index of its last entry, and its entries
	until      time.Time     // when the next batch leaves in any case
	sync       time.Duration // the mean time of a sync
	timed      bool          // a gathered is on its way
}

// gathered says that the open batch may have waited long enough.
type gathered struct{}

const (
	patience = 2 // in syncs
	meanOf   = 8 // syncs, about
)

func (c *cohort) synced(s *server, b *batch) {
	if b.claim <= c.last {
		return // it has no entries
	}
	now := s.c.Clock.Now()
	took := now.Sub(b.since)
	if c.sync == 0 {
		c.sync = took
	}
	c.sync += (took - c.sync) / meanOf
	c.until = now.Add(min(patience*c.sync, s.c.Timing.Heartbeat))
	c.last, c.size = b.claim, b.claim-c.last
}

// gathers says whether the open batch waits.
func (c *cohort) gathers(s *server) bool {
	if s.lastApplied >= c.last && s.log.last-c.last >= c.size-c.size/16 {
		return false
	}
	left := c.until.Sub(s.c.Clock.Now())
	if left > 0 && !c.timed {
		c.timed = true
		s.c.Clock.After(left, s.ctx.Self(), gathered{})
	}
	return left > 0
}
