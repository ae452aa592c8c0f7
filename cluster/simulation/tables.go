package simulation

import (
	"bytes"
	"io"

	"github.com/troupe-raft/troupe/messages"
)

// reaches takes note of what a machine has applied, and compares its sessions with those of others at the same index.
func (m *witness) reaches(index uint64, sessions func() io.WriterTo) {
	w, t := m.n.w, &m.n.w.truth[m.g]
	m.reached = index
	var table bytes.Buffer
	if _, err := sessions().WriteTo(&table); err != nil {
		w.fail("sessions can be written", "%s at %d: %v", m.n.id, index, err)
	}
	var h trace
	h.bytes(table.Bytes())
	if was, known := t.tables[index]; known && was != h.hash {
		w.fail("sessions are the same on every node", "%s at %d: %q", m.n.id, index, table.Bytes())
	}
	t.tables[index] = h.hash
}

// repeats counts the commands that machines skip.
func (t *truth) repeats() int {
	n := 0
	for i, id := range t.committed {
		if t.skipped[i] && id.kind == messages.Entry_KIND_COMMAND {
			n++
		}
	}
	return n
}

// given checks that every node gives its machine the same commands: those of the log, but for those that repeat others, or whose session is
// gone.
func (m *witness) given(index uint64) {
	w, t := m.n.w, &m.n.w.truth[m.g]
	for i := m.applied + 1; i < index; i++ {
		if t.results[i-1] != 0 {
			w.fail("all machines are given the same commands", "%s skips %d", m.n.id, i)
		}
		t.skipped[i-1] = true
	}
	if t.skipped[index-1] {
		w.fail("all machines are given the same commands", "%s gives %d, which others skip", m.n.id, index)
	}
}
