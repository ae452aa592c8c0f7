package actors

import (
	"slices"
	"sort"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// raftLog is what a server keeps of its log in memory: the term of every entry, as runs, and the entries of the tail. The tail
// holds at least everything that is not durable yet; others than the server read the rest from the store.
type raftLog struct {
	compacted, compactedTerm uint64
	last                     uint64
	spans                    []persistence.TermSpan
	sizes                    sizes

	// tail[0] has the index tailFirst. Parts of it are in messages that others still read: it only grows, and truncation
	// makes a new one.
	tail      []messages.EncodedEntry
	tailFirst uint64
	tailBytes int
	// forgotten are the bytes of entries in front of the tail, which its array still keeps in memory.
	forgotten int
}

func newLog(r persistence.Recovered, granule int64) raftLog {
	return raftLog{
		compacted: r.Compacted, compactedTerm: r.CompactedTerm, last: r.Last, spans: r.Spans, tailFirst: r.Last + 1,
		sizes: newSizes(granule, r.Compacted, r.Marks),
	}
}

// term of the entry at index, which must be within [compacted, last].
func (l *raftLog) term(index uint64) uint64 {
	if index == l.compacted {
		return l.compactedTerm
	}
	// Questions are nearly always about the last few terms.
	for i := len(l.spans) - 1; i >= 0 && i >= len(l.spans)-4; i-- {
		if l.spans[i].First <= index {
			return l.spans[i].Term
		}
	}
	return l.spans[l.spanOf(index)].Term
}

// spanOf is the place of the span that holds index.
func (l *raftLog) spanOf(index uint64) int {
	return sort.Search(len(l.spans), func(i int) bool { return l.spans[i].First > index }) - 1
}

func (l *raftLog) lastTerm() uint64 { return l.term(l.last) }

// holds says whether the log contains an entry at index whose term is term. What is compacted was committed and is not known
// any more: only the cut itself can be compared.
func (l *raftLog) holds(index, term uint64) bool {
	return index >= l.compacted && index <= l.last && l.term(index) == term
}

// lastAtMost is the last index up to index that has a term up to term: two logs that differ may meet there. It skips
// whole terms, so that probing takes one round for each conflicting term.
func (l *raftLog) lastAtMost(index, term uint64) uint64 {
	index = max(min(index, l.last), l.compacted)
	for index > l.compacted && l.term(index) > term {
		index = l.spans[l.spanOf(index)].First - 1
	}
	return index
}

func (l *raftLog) append(term uint64, entry messages.EncodedEntry) {
	l.last++
	if len(l.spans) == 0 || l.spans[len(l.spans)-1].Term != term {
		l.spans = append(l.spans, persistence.TermSpan{First: l.last, Term: term})
	}
	l.tail = append(l.tail, entry)
	l.tailBytes += len(entry)
	l.sizes.append(l.last, len(entry))
}

// truncate removes the entry at from and all that follow.
func (l *raftLog) truncate(from uint64) {
	for len(l.spans) > 0 && l.spans[len(l.spans)-1].First >= from {
		l.spans = l.spans[:len(l.spans)-1]
	}
	keep := uint64(0)
	if from > l.tailFirst {
		keep = from - l.tailFirst
	}
	l.tail, l.forgotten = slices.Clone(l.tail[:keep]), 0
	l.tailBytes = 0
	for _, e := range l.tail {
		l.tailBytes += len(e)
	}
	l.tailFirst = min(l.tailFirst, from)
	l.last = from - 1
	l.sizes.truncate(from)
}

// cut forgets the entries up to an index, which is within the log. Entries of the tail stay in memory until they are forgotten.
func (l *raftLog) cut(to uint64) {
	l.compactedTerm, l.compacted = l.term(to), to
	n := l.spanOf(to + 1)
	if l.last == to {
		n = len(l.spans)
	}
	l.spans = slices.Clone(l.spans[n:])
	if len(l.spans) > 0 {
		l.spans[0].First = max(l.spans[0].First, to+1)
	}
	l.sizes.cut(to)
}

// replace makes this the log of a snapshot: it has no entries, and goes on behind the last that the snapshot includes (Figure 13).
func (l *raftLog) replace(index, term uint64) {
	*l = raftLog{compacted: index, compactedTerm: term, last: index, tailFirst: index + 1, sizes: newSizes(l.sizes.granule, index, nil)}
}

// slice returns the entries [from, to] of the tail. They must not be changed.
func (l *raftLog) slice(from, to uint64) []messages.EncodedEntry {
	lo, hi := from-l.tailFirst, to+1-l.tailFirst
	return l.tail[lo:hi:hi]
}

// forget drops entries up to index from memory until at most so many bytes and entries are left.
func (l *raftLog) forget(index uint64, maxBytes, maxEntries int) {
	n := 0
	for (l.tailBytes > maxBytes || len(l.tail)-n > maxEntries) && l.tailFirst+uint64(n) <= index {
		l.tailBytes -= len(l.tail[n])
		l.forgotten += len(l.tail[n])
		n++
	}
	l.tail = l.tail[n:]
	l.tailFirst += uint64(n)
	if l.forgotten > l.tailBytes {
		l.tail = append(make([]messages.EncodedEntry, 0, 2*len(l.tail)), l.tail...)
		l.forgotten = 0
	}
}
