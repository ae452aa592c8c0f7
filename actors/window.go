package actors

// window is what was sent to one follower and not yet acknowledged.
type window struct {
	sent  []inflightMessage // oldest first
	bytes int
}

type inflightMessage struct {
	last  uint64
	bytes int
}

func (w *window) open(l Limits) bool {
	return len(w.sent) < l.InflightMessages && w.bytes < l.InflightBytes
}

func (w *window) push(last uint64, bytes int) {
	w.sent = append(w.sent, inflightMessage{last, bytes})
	w.bytes += bytes
}

// acknowledge removes what the follower has durably, up to match.
func (w *window) acknowledge(match uint64) {
	n := 0
	for n < len(w.sent) && w.sent[n].last <= match {
		w.bytes -= w.sent[n].bytes
		n++
	}
	w.sent = w.sent[:copy(w.sent, w.sent[n:])]
}

func (w *window) clear() { w.sent, w.bytes = w.sent[:0], 0 }
