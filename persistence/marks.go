package persistence

import "slices"

// LogMark says that the entries (Compacted, Last] have so many bytes, encoded.
type LogMark struct {
	Last  uint64
	Bytes int64
}

// defaultGranule is the distance of marks, in bytes.
const defaultGranule = 64 << 10

// marks says how many bytes the entries of a log have, without remembering each. Its bytes count from some place before the log's begin.
type marks struct {
	granule    int64
	begin, end LogMark // the entry before the first one, and the last one
	list       []LogMark
}

func newMarks(granule int) marks { return marks{granule: int64(granule)} }

func (m *marks) last() LogMark {
	if len(m.list) == 0 {
		return m.begin
	}
	return m.list[len(m.list)-1]
}

// add counts the next entry. There is a mark before it when it would be too far from the last one.
func (m *marks) add(index uint64, bytes int) {
	next := m.end.Bytes + int64(bytes)
	if last := m.last(); next-last.Bytes > m.granule && m.end.Last > last.Last {
		m.list = append(m.list, m.end)
	}
	m.end = LogMark{index, next}
}

// truncate forgets the entries from this one on, and how many bytes those have that are between it and the last mark before it.
func (m *marks) truncate(from uint64) {
	m.list = m.list[:m.count(from-1)]
	m.end = LogMark{from - 1, m.last().Bytes}
}

// cut forgets the entries up to this one, and says how many bytes they had, less what is between it and the last mark before it.
func (m *marks) cut(to uint64) (bytes int64) {
	before := m.begin.Bytes
	if to >= m.end.Last {
		m.begin = LogMark{to, m.end.Bytes}
		m.end, m.list = m.begin, nil
	} else if n := m.count(to); n > 0 {
		m.begin = m.list[n-1]
		m.list = slices.Delete(m.list, 0, n)
	}
	return m.begin.Bytes - before
}

// clear forgets all entries.
func (m *marks) clear() { m.end, m.list = m.begin, nil }

// count is how many of the marks in the list are at or before this entry.
func (m *marks) count(index uint64) int {
	n, found := slices.BinarySearchFunc(m.list, index, func(a LogMark, index uint64) int {
		if a.Last < index {
			return -1
		}
		return int(min(a.Last-index, 1))
	})
	if found {
		n++
	}
	return n
}

// all are the marks, and one for the last entry.
func (m *marks) all() []LogMark {
	if m.end.Last <= m.last().Last {
		return slices.Clone(m.list)
	}
	return append(slices.Clone(m.list), m.end)
}
