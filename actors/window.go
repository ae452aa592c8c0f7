package actors

import "time"

// window is what was sent to one follower and not yet acknowledged.
type window struct {
	sent  []inflightMessage // oldest first
	bytes int
}

type inflightMessage struct {
	last  uint64
	bytes int
	// bulk: the uplink allowed it, at a time.
	bulk bool
	at   time.Time
}

func (w *window) open(l Limits) bool {
	return len(w.sent) < l.InflightMessages && w.bytes < l.InflightBytes
}

func (w *window) push(m inflightMessage) {
	w.sent = append(w.sent, m)
	w.bytes += m.bytes
}

// acknowledge removes what the follower has durably, up to match. It returns how many bytes of that were bulk, and since when.
func (w *window) acknowledge(match uint64) (bulk int64, since time.Time) {
	n := 0
	for ; n < len(w.sent) && w.sent[n].last <= match; n++ {
		m := w.sent[n]
		w.bytes -= m.bytes
		if m.bulk {
			bulk, since = bulk+int64(m.bytes), m.at
		}
	}
	w.sent = w.sent[:copy(w.sent, w.sent[n:])]
	return bulk, since
}

// giveUp says that bulk which was sent before a moment is not under way any more, and how many bytes that is.
func (w *window) giveUp(before time.Time) (bulk int64) {
	for i := range w.sent {
		if m := &w.sent[i]; m.bulk && !m.at.After(before) {
			bulk += int64(m.bytes)
			m.bulk = false
		}
	}
	return bulk
}

// clear forgets all, and returns how many bytes of it were bulk.
func (w *window) clear() (bulk int64) {
	for _, m := range w.sent {
		if m.bulk {
			bulk += int64(m.bytes)
		}
	}
	w.sent, w.bytes = w.sent[:0], 0
	return bulk
}
