package persistence

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-raft/troupe/messages"
)

// Read returns the entries [lo, hi), fewer when the log ends earlier or when they would exceed maxBytes of encoded
// entries; one entry is returned in any case. prevTerm is the term of entry lo-1, which may be the last one that was cut; it is 0
// for index 0. All come from one view, which may be ahead of what is durable. With lo == hi only prevTerm is looked up.
//
// The entries belong to the caller, and must not be changed. ErrCompacted: entry lo is cut. ErrMissing: the log ends before lo, or
// before lo-1 when lo == hi. Read runs beside Write and goes on working after a failure of the disk,
// unless a damaged table was found.
func (s *Store) Read(group GroupID, lo, hi uint64, maxBytes int) (prevTerm uint64, entries []messages.EncodedEntry, err error) {
	r := reader{s: s, group: group, lo: lo, hi: max(lo, hi), room: maxBytes}
	if err := s.reading(r.read); err != nil {
		return 0, nil, err
	}
	return r.prevTerm, r.entries, nil
}

// beginRead keeps Close waiting until s.reads.Done is called.
func (s *Store) beginRead() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	s.reads.Add(1)
	return nil
}

// reader is one call of Read.
type reader struct {
	s        *Store
	group    GroupID
	iter     *pebble.Iterator
	lo, hi   uint64
	room     int
	prevTerm uint64
	entries  []messages.EncodedEntry
	full     bool
}

func (r *reader) read() (err error) {
	if r.iter, err = r.s.iter(key(r.group, kindCompacted), logEnd(r.group)); err != nil {
		return err
	}
	defer func() { _ = r.iter.Close() }()
	compacted, err := r.compacted()
	if err != nil {
		return err
	}
	if r.lo <= compacted.Index {
		return say(ErrCompacted, "entry %d of group %d was cut: the log starts at %d", r.lo, r.group, compacted.Index+1)
	}
	next := r.lo
	if r.lo-1 == compacted.Index {
		r.prevTerm = compacted.Term
	} else {
		next--
	}
	for valid := r.iter.SeekGE(logKey(r.group, next)); valid && next < r.hi && !r.full; valid = r.iter.Next() {
		if next, err = r.block(next); err != nil {
			return err
		}
	}
	if err := r.iter.Error(); err != nil {
		return r.s.cannotRead(err)
	}
	if next < r.lo || (len(r.entries) == 0 && r.lo < r.hi) {
		return say(ErrMissing, "entry %d of group %d is not there", next, r.group)
	}
	return nil
}

// compacted reads the record of the last cut from the reader's view.
func (r *reader) compacted() (*messages.Compacted, error) {
	record := &messages.Compacted{}
	k := key(r.group, kindCompacted)
	if !r.iter.SeekGE(k) || !bytes.Equal(r.iter.Key(), k) {
		return record, nil
	}
	value, err := r.iter.ValueAndErr()
	if err == nil {
		err = decodeRecord(k, value, record)
	}
	if err != nil {
		return nil, r.s.cannotRead(err)
	}
	return record, nil
}

// block takes what it can of the block under the iterator, from entry next on, and returns the index to go on with.
func (r *reader) block(next uint64) (uint64, error) {
	value, err := r.iter.ValueAndErr()
	if err != nil {
		return 0, r.s.cannotRead(err)
	}
	b, err := openBlock(r.iter.Key(), value)
	if err == nil && b.first > next {
		err = errors.New("a hole is before it")
	}
	if err != nil {
		return 0, damaged(r.s.dir, r.group, "the block that should hold entry %d: %v", next, err)
	}
	if next, err = r.take(b, next); err != nil {
		return 0, damaged(r.s.dir, r.group, "entry %d: %v", next, err)
	}
	return next, nil
}

func (r *reader) take(b block, index uint64) (uint64, error) {
	framed, err := skip(b.framed, index-b.first)
	if err != nil {
		return index, err
	}
	if index < r.lo {
		entry, rest, err := next(framed)
		if err != nil {
			return index, err
		}
		view, err := messages.DecodeEntry(entry)
		if err != nil {
			return index, err
		}
		r.prevTerm, framed = view.Term, rest
		index++
	}
	start, first := framed, index
	for ; index <= b.last && index < r.hi; index++ {
		entry, rest, err := next(framed)
		if err != nil {
			return index, err
		}
		if len(entry) > r.room && (index > first || len(r.entries) > 0) {
			r.full = true
			break
		}
		r.room -= len(entry)
		framed = rest
	}
	return index, r.keep(start[:len(start)-len(framed)])
}

// keep copies framed entries out of Pebble's memory.
func (r *reader) keep(framed []byte) error {
	framed = bytes.Clone(framed)
	for len(framed) > 0 {
		entry, rest, err := next(framed)
		if err != nil {
			return err
		}
		r.entries = append(r.entries, entry)
		framed = rest
	}
	return nil
}

func skip(framed []byte, n uint64) ([]byte, error) {
	for range n {
		_, rest, err := next(framed)
		if err != nil {
			return nil, err
		}
		framed = rest
	}
	return framed, nil
}
