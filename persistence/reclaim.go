package persistence

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-raft/troupe/messages"
)

// defaultExcise is how many bytes below a cut are worth an excise: about half a memtable.
const defaultExcise = 8 << 20

// cuts knows what cuts have left below them. A range delete makes every new table overlap the old ones, which are then merged instead of
// moved; so a large cut only stores its record, and Reclaim excises what is below when the record is durable.
type cuts struct {
	mu    sync.Mutex
	left  map[GroupID]bool  // groups with blocks below their cut
	sizes map[GroupID]marks // of logs that were recovered and not written to since
}

func newCuts() *cuts { return &cuts{left: map[GroupID]bool{}, sizes: map[GroupID]marks{}} }

// leave says whether the group has blocks below its cut.
func (c *cuts) leave(group GroupID, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left {
		c.left[group] = true
	} else {
		delete(c.left, group)
	}
}

func (c *cuts) groups() []GroupID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.left))
}

// recovered keeps the sizes of a log for the first write to it.
func (c *cuts) recovered(group GroupID, m marks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.list = slices.Clone(m.list)
	c.sizes[group] = m
}

func (c *cuts) takeSizes(group GroupID) (marks, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, known := c.sizes[group]
	delete(c.sizes, group)
	return m, known
}

// cut drops the log up to CutTo: at once, or when Reclaim is called. A block that straddles CutTo stays; its head is ignored from now on.
func (s *Store) cut(b *Batch, g *groupState) error {
	g.left += g.sizes.cut(b.CutTo)
	later := g.left >= int64(s.options.ExciseBytes) && !b.Reset && (b.Snapshot != nil || s.Identity().Format >= formatOfSnapshots)
	if !later {
		end := logKey(b.Group, b.CutTo+1)
		if b.Reset {
			end = logEnd(b.Group)
			g.last = 0
			g.sizes.clear()
		}
		if err := s.pending.DeleteRange(logKey(b.Group, 0), end, nil); err != nil {
			return err
		}
		g.left, s.unflushed = 0, true
	}
	s.cuts.leave(b.Group, later)
	record := messages.Compacted{Index: b.CutTo, Term: b.CutTerm}
	g.compacted, g.last = b.CutTo, max(g.last, b.CutTo)
	g.round = s.number
	return s.set(key(b.Group, kindCompacted), &record)
}

// Reclaimable says whether cuts have left something that Reclaim removes.
func (s *Store) Reclaimable() bool {
	s.cuts.mu.Lock()
	defer s.cuts.mu.Unlock()
	return len(s.cuts.left) > 0
}

// Reclaim removes what is below the cut of one group. It takes a turn of its own, some milliseconds, and returns when that is durable. It
// fails as Write does.
func (s *Store) Reclaim() error {
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	return s.orBreak(s.reclaim())
}

func (s *Store) reclaim() error {
	groups := s.cuts.groups()
	if len(groups) > 0 && s.synced < s.number { // an excise must not become durable before the record of its cut
		if err := s.apply(true); err != nil {
			return err
		}
	}
	for _, group := range groups[:min(1, len(groups))] {
		g, err := s.state(group)
		if err != nil {
			return err
		}
		span := pebble.KeyRange{Start: logKey(group, 0), End: logKey(group, g.compacted+1)}
		if err := s.db.Excise(context.Background(), span); err != nil {
			return err
		}
		g.left = 0
		s.cuts.leave(group, false)
	}
	return s.fence.failure()
}

// FlushCut flushes the database when something was deleted by a cut, and nothing was written since the call before: Pebble gives space back
// only when it writes tables. A node calls it once a second. It does not hold up writes.
func (s *Store) FlushCut() error {
	if err := s.beginRead(); err != nil { // Close waits
		return err
	}
	defer s.reads.Done()
	flushed, err := s.beginFlush()
	if err != nil || flushed == nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-s.fence.failing:
		return s.fence.failure()
	}
}

func (s *Store) beginFlush() (<-chan struct{}, error) {
	if err := s.take(); err != nil {
		return nil, err
	}
	defer s.give()
	idle := s.seen == s.number
	s.seen = s.number
	if !idle || !s.unflushed {
		return nil, nil
	}
	s.unflushed = false
	flushed, err := s.db.AsyncFlush()
	return flushed, s.orBreak(err)
}
