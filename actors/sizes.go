package actors

import (
	"sort"

	"github.com/troupe-raft/troupe/persistence"
)

// sizes says how many bytes the entries of a log have, roughly: between two marks it knows the sum only.
type sizes struct {
	granule int64
	// marks rise. Their bytes count from some index on that may be cut by now.
	marks []persistence.LogMark
	// begin is the end of what was cut, end is the end of the log.
	begin, end persistence.LogMark
}

func newSizes(granule int64, compacted uint64, marks []persistence.LogMark) sizes {
	s := sizes{granule: max(granule, 1), begin: persistence.LogMark{Last: compacted}, marks: marks}
	if s.end = s.begin; len(marks) > 0 {
		s.end = marks[len(marks)-1]
	}
	return s
}

func (s *sizes) append(index uint64, bytes int) {
	s.end = persistence.LogMark{Last: index, Bytes: s.end.Bytes + int64(bytes)}
	if s.end.Bytes-s.lastMark().Bytes >= s.granule {
		s.marks = append(s.marks, s.end)
	}
}

func (s *sizes) lastMark() persistence.LogMark {
	if len(s.marks) == 0 {
		return s.begin
	}
	return s.marks[len(s.marks)-1]
}

// truncate forgets the entries from an index on.
func (s *sizes) truncate(from uint64) {
	if s.end.Last < from {
		return
	}
	for len(s.marks) > 0 && s.lastMark().Last >= from {
		s.marks = s.marks[:len(s.marks)-1]
	}
	s.end = persistence.LogMark{Last: from - 1, Bytes: s.lastMark().Bytes}
}

// cut forgets the entries up to an index.
func (s *sizes) cut(to uint64) {
	s.begin = persistence.LogMark{Last: to, Bytes: s.markAt(to).Bytes}
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].Last > to })
	s.marks = append([]persistence.LogMark(nil), s.marks[n:]...)
	if s.end.Last < to {
		s.end = s.begin
	}
}

// total is the bytes of all entries.
func (s *sizes) total() int64 { return s.end.Bytes - s.begin.Bytes }

// between is the bytes of the entries (from, to].
func (s *sizes) between(from, to uint64) int64 { return s.markAt(to).Bytes - s.markAt(from).Bytes }

// markAt is the last mark up to an index.
func (s *sizes) markAt(index uint64) persistence.LogMark {
	if index >= s.end.Last {
		return s.end
	}
	n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].Last > index })
	if n == 0 {
		return s.begin
	}
	return s.marks[n-1]
}

// before is the last index such that the entries behind it have at least so many bytes; the beginning when there are fewer.
func (s *sizes) before(bytes int64) uint64 {
	n := sort.Search(len(s.marks), func(i int) bool { return s.end.Bytes-s.marks[i].Bytes < bytes })
	if n == 0 {
		return s.begin.Last
	}
	return s.marks[n-1].Last
}
