package actors

import "time"

// cohort keeps a leader's callers together. When a batch is synced, some callers wait in the next one already, and most are about to be
// answered and to call again. If the next batch left at once, those would have to wait for its sync, and from then on there would be two
// cohorts that wait for each other's syncs. So the next batch leaves when the callers of the one before are answered and about as many
// wait again. It waits no longer than two syncs take, since followers may need long and callers may be gone; nor than a heartbeat. For
// many callers it waits longer, as long as that is worth it.
type cohort struct {
	last, size uint64        // of the batch that was synced last: the index of its last entry, and its entries
	until      time.Time     // when the next batch leaves, unless it waits longer
	atLast     time.Time     // when it leaves in any case
	sync       time.Duration // the mean time of a sync
	timed      bool          // a gathered is on its way
	longer     longerWait
}

// gathered says that the open batch may have waited long enough.
type gathered struct{}

const (
	patience = 2 // in syncs
	meanOf   = 8 // syncs, about
	// quick is how many callers have called again within two syncs; perCaller is what each of the others is waited for.
	quick     = 256
	perCaller = 5 * time.Microsecond
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
	c.last, c.size = b.claim, b.claim-c.last
	usual, most := c.waits(s.c.Timing.Heartbeat)
	c.until, c.atLast = now.Add(usual), now.Add(most)
}

// waits are how long the next batch waits as a rule, and at most.
func (c *cohort) waits(heartbeat time.Duration) (usual, most time.Duration) {
	usual = min(patience*c.sync, heartbeat)
	if c.size <= quick || !c.longer.allowed() {
		return usual, usual
	}
	return usual, min(usual+time.Duration(c.size-quick)*perCaller, heartbeat)
}

// gathers says whether the open batch waits.
func (c *cohort) gathers(s *server) bool {
	together := s.lastApplied >= c.last && s.log.last-c.last >= c.size-c.size/16
	now := s.c.Clock.Now()
	left := c.atLast.Sub(now)
	if together || left <= 0 {
		if waited := c.atLast.After(c.until) && now.After(c.until); waited {
			c.longer.ended(together)
		}
		c.until = c.atLast
		return false
	}
	if !c.timed {
		c.timed = true
		s.c.Clock.After(left, s.ctx.Self(), gathered{})
	}
	return true
}

// longerWait is worth it when many callers come together. Who calls without waiting for answers may not come in time: after such a wait
// there is none for some batches, and for more and more of them.
type longerWait struct {
	pause, left int // in batches
	worth       int // how many waits were, since the last that was not
}

const (
	shortestPause, longestPause = 8, 256
	worthIt                     = 4 // then it counts no more what was before
)

func (l *longerWait) allowed() bool {
	if l.left > 0 {
		l.left--
		return false
	}
	return true
}

func (l *longerWait) ended(together bool) {
	if together {
		if l.worth++; l.worth >= worthIt {
			l.pause = 0
		}
		return
	}
	l.pause = min(max(2*l.pause, shortestPause), longestPause)
	l.left, l.worth = l.pause, 0
}
