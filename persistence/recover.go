package persistence

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-raft/troupe/messages"
)

// TermSpan is a run of entries of one term: from First up to the next span's First, or to the end of the log.
type TermSpan struct{ First, Term uint64 }

// IndexedEntry is an entry and its place.
type IndexedEntry struct {
	Index uint64
	Entry messages.EncodedEntry
}

// Recovered is what a group's range held, checked.
type Recovered struct {
	HardState HardState
	// The log starts at Compacted+1; CompactedTerm is the term of entry Compacted.
	Compacted, CompactedTerm uint64
	// Last is the last index; Compacted when the log is empty.
	Last uint64
	// Spans are the runs of terms of (Compacted, Last], in order.
	Spans []TermSpan
	// Marks say how many bytes the log's entries have, in order. The last entry has a mark.
	Marks []LogMark
	// Amendments are the entries that are no commands and no no-ops, in the order of the log: they change the group itself.
	Amendments []IndexedEntry
	// Snapshot points to the group's snapshot; nil: there is none.
	Snapshot *messages.Snapshot
	// PeerStores maps peers to their pinned store ids.
	PeerStores map[string]uint64
}

// Recover reads and checks all that is stored of the group. Whatever is not exactly as it was written is an error that
// matches ErrDamaged; nothing is repaired. Only what is below a cut is left out, and waits for Reclaim. It reads only, and may be called
// again, but not beside a Write for the same group.
func (s *Store) Recover(group GroupID) (Recovered, error) {
	c := checker{dir: s.dir, group: group, found: Recovered{PeerStores: map[string]uint64{}}, sizes: newMarks(s.options.LogGranule)}
	if err := s.reading(func() error { return s.scan(&c) }); err != nil {
		return Recovered{}, err
	}
	s.cuts.recovered(group, c.sizes)
	if c.left {
		s.cuts.leave(group, true)
	}
	return c.found, nil
}

func (s *Store) scan(c *checker) error {
	if !s.hasGroup(c.group) {
		return say(ErrMissing, "there is no group with number %d in %s", c.group, s.dir)
	}
	iter, err := s.iter(appendPrefix(nil, c.group, 0), appendPrefix(nil, c.group+1, 0))
	if err != nil {
		return err
	}
	defer func() { _ = iter.Close() }()
	if err := s.each(iter, c.record); err != nil {
		return err
	}
	iter.SetBounds(logKey(c.group, 0), logEnd(c.group)) // in the same view
	if err := s.each(iter, c.block); err != nil {
		return err
	}
	return c.finish()
}

// each calls f with every record within the iterator's bounds.
func (s *Store) each(iter *pebble.Iterator, f func(key, value []byte) error) error {
	for valid := iter.First(); valid; valid = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return s.cannotRead(err)
		}
		if err := f(iter.Key(), value); err != nil {
			return err
		}
	}
	if err := iter.Error(); err != nil {
		return s.cannotRead(err)
	}
	return nil
}

// checker reads a group's records in the order of their keys, Compacted, HardState and the peers, and then its log.
type checker struct {
	dir   string
	group GroupID
	found Recovered
	sizes marks
	left  bool // blocks below the cut were seen
	begun bool // a block above was seen
	end   uint64
	term  uint64 // of the last entry seen
}

func (c *checker) damaged(format string, args ...any) error {
	return damaged(c.dir, c.group, format, args...)
}

func (c *checker) record(key, value []byte) error {
	switch kind := key[prefixLen-1]; {
	case kind == kindCompacted && len(key) == prefixLen:
		return c.compacted(key, value)
	case kind == kindHardState && len(key) == prefixLen:
		return c.hardState(key, value)
	case kind == kindPeer && len(key) > prefixLen:
		return c.peer(key, value)
	case kind == kindSnapshot && len(key) == prefixLen:
		return c.snapshot(key, value)
	}
	if _, err := openRecord(key, value); err == nil {
		return say(ErrNewer, "the log of group %d in %s has a record %q of a newer format than %d, "+
			"which is the newest that this troupe knows: start a newer troupe", c.group, c.dir, key, newestFormat)
	}
	return c.damaged("the record under %q is none of troupe's", key)
}

func (c *checker) compacted(key, value []byte) error {
	var record messages.Compacted
	if err := decodeRecord(key, value, &record); err != nil {
		return c.damaged("the record of the last cut cannot be decoded")
	}
	c.found.Compacted, c.found.CompactedTerm = record.Index, record.Term
	c.term = record.Term
	c.sizes.begin.Last, c.sizes.end.Last = record.Index, record.Index
	return nil
}

func (c *checker) hardState(key, value []byte) error {
	var record messages.HardState
	if err := decodeRecord(key, value, &record); err != nil {
		return c.damaged("its hard state cannot be decoded")
	}
	c.found.HardState = HardState{
		Term: record.Term, Vote: record.Vote, Commit: record.Commit, ClusterID: record.ClusterId,
		Promise: time.Duration(min(record.PromiseMs, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond,
	}
	return nil
}

func (c *checker) peer(key, value []byte) error {
	store, err := openRecord(key, value)
	if err != nil || len(store) != 8 {
		return c.damaged("the store id of peer %q cannot be decoded", key[prefixLen:])
	}
	c.found.PeerStores[string(key[prefixLen:])] = binary.BigEndian.Uint64(store)
	return nil
}

func (c *checker) snapshot(key, value []byte) error {
	record := &messages.Snapshot{}
	if err := decodeRecord(key, value, record); err != nil {
		return c.damaged("the pointer to its snapshot cannot be decoded")
	}
	c.found.Snapshot = record
	return nil
}

func (c *checker) block(key, value []byte) error {
	if len(key) != logKeyLen {
		return c.damaged("the record under %q is none of troupe's", key)
	}
	last := binary.BigEndian.Uint64(key[logPrefixLen:])
	if last <= c.found.Compacted {
		c.left = true
		return nil
	}
	b, err := openBlock(key, value)
	if err != nil {
		return c.damaged("the block that ends at entry %d: %v", last, err)
	}
	if err := c.place(b); err != nil {
		return err
	}
	framed := b.framed
	for i := b.first; i <= b.last; i++ {
		entry, rest, err := next(framed)
		if err != nil {
			return c.damaged("entry %d: %v", i, err)
		}
		view, err := messages.DecodeEntry(entry)
		if err != nil {
			return c.damaged("entry %d cannot be decoded", i)
		}
		if err := c.entry(i, view.Term); err != nil {
			return err
		}
		if i > c.found.Compacted {
			c.sizes.add(i, len(entry))
		}
		if view.Kind.Amends() && i > c.found.Compacted {
			c.found.Amendments = append(c.found.Amendments, IndexedEntry{i, bytes.Clone(entry)})
		}
		framed = rest
	}
	if len(framed) > 0 {
		return c.damaged("the block that ends at entry %d: %v", b.last, errFraming)
	}
	c.begun, c.end = true, b.last
	return nil
}

// place checks that the block goes on where the one before it, or the cut, ends.
func (c *checker) place(b block) error {
	cut := c.found.Compacted
	switch {
	case !c.begun && b.first > cut+1:
		return c.damaged("entries %d to %d are missing", cut+1, b.first-1)
	case c.begun && b.first > c.end+1:
		return c.damaged("entries %d to %d are missing", c.end+1, b.first-1)
	case c.begun && b.first <= c.end:
		return c.damaged("entries %d to %d are there twice", b.first, c.end)
	}
	return nil
}

func (c *checker) entry(index, term uint64) error {
	f := &c.found
	if index < f.Compacted {
		return nil
	}
	if index == f.Compacted {
		if term != f.CompactedTerm {
			return c.damaged("it was cut at entry %d of term %d, and that entry is of term %d", index, f.CompactedTerm, term)
		}
		return nil
	}
	if s := f.Snapshot; s != nil && index == s.LastIncludedIndex && term != s.LastIncludedTerm {
		return c.damaged("its snapshot ends at entry %d of term %d, and that entry is of term %d", index, s.LastIncludedTerm, term)
	}
	if term < c.term {
		return c.damaged("the term falls from %d to %d at entry %d", c.term, term, index)
	}
	if len(f.Spans) == 0 || term != c.term {
		f.Spans = append(f.Spans, TermSpan{First: index, Term: term})
	}
	c.term = term
	return nil
}

func (c *checker) finish() error {
	f := &c.found
	f.Last, f.Marks = max(f.Compacted, c.end), c.sizes.all()
	if f.HardState.Commit > f.Last {
		return c.damaged("it ends at entry %d although entry %d was committed", f.Last, f.HardState.Commit)
	}
	if c.term > f.HardState.Term {
		return c.damaged("an entry is of term %d although the server has seen no term after %d", c.term, f.HardState.Term)
	}
	return c.fits(f.Snapshot)
}

// fits checks that the snapshot stands within the log.
func (c *checker) fits(s *messages.Snapshot) error {
	f := &c.found
	switch {
	case s == nil:
		return nil
	case s.LastIncludedIndex < f.Compacted:
		return c.damaged("it was cut at entry %d although its snapshot ends at entry %d", f.Compacted, s.LastIncludedIndex)
	case s.LastIncludedIndex > f.Last:
		return c.damaged("it ends at entry %d although its snapshot ends at entry %d", f.Last, s.LastIncludedIndex)
	case s.LastIncludedIndex == f.Compacted && s.LastIncludedTerm != f.CompactedTerm:
		return c.damaged("it was cut at entry %d of term %d, and its snapshot says term %d",
			f.Compacted, f.CompactedTerm, s.LastIncludedTerm)
	}
	return nil
}
