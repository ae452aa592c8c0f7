package simulation

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// witness stands around a state machine and checks what the machine is given and what it answers. The witness overwrites afterwards
// what it gave: a state machine may keep none of it.
type witness struct {
	actors.StateMachine
	n *node
	g int
	// applied is the last command that the machine was given, reached the last entry that was applied.
	applied, reached uint64
	view             *witnessed // the last
}

const injectedPanic = "injected panic"

func (m *witness) Apply(entries []actors.Entry) []actors.Result {
	w := m.n.w
	t := &w.truth[m.g]
	m.panic()
	if most := w.limits.ApplyEntries; most > 0 && len(entries) > most {
		w.fail("what a state machine is given at a time is bounded", "%s gives it %d entries", m.n.id, len(entries))
	}
	for _, e := range entries {
		switch {
		case e.Index <= m.applied:
			w.fail("every index is applied once, in order", "%s applies %d after %d", m.n.id, e.Index, m.applied)
		case e.Index > uint64(len(t.committed)):
			w.fail("only what is committed is applied", "%s applies %d", m.n.id, e.Index)
			return make([]actors.Result, len(entries))
		case t.committed[e.Index-1].hash != contents(messages.Entry_KIND_COMMAND, e.Command):
			w.fail("all servers apply the same command at an index (State Machine Safety)", "%s at %d", m.n.id, e.Index)
		}
		m.given(e.Index)
		m.applied = e.Index
	}
	results := m.lend(entries)
	for i, r := range results {
		m.check(entries[i], r)
	}
	return results
}

// lend lets the state machine apply copies, and takes them away again.
func (m *witness) lend(entries []actors.Entry) []actors.Result {
	lent := make([]actors.Entry, len(entries))
	for i, e := range entries {
		lent[i] = actors.Entry{Index: e.Index, Command: bytes.Clone(e.Command)}
	}
	results := m.StateMachine.Apply(lent)
	for i := range lent {
		overwrite(lent[i].Command)
		lent[i] = actors.Entry{}
	}
	return results
}

// check compares a result with those of the other nodes. It compares the first node's result with the model.
func (m *witness) check(e actors.Entry, r actors.Result) {
	w := m.n.w
	t := &w.truth[m.g]
	var h trace
	h.bytes(r.Value)
	h.text(fmt.Sprint(r.Err))
	switch was := t.results[e.Index-1]; {
	case was == 0:
		t.results[e.Index-1] = h.hash
		w.count(m.g, e.Command)
		w.checkGiven(m.g, e.Index)
		if value, rejected := t.model.apply(w.machine, e); rejected != (r.Err != nil) || !bytes.Equal(value, r.Value) {
			w.fail("a state machine answers as its model does",
				"%s at %d: %q is answered by %q %v", m.n.id, e.Index, e.Command, r.Value, r.Err)
		}
	case was != h.hash:
		w.fail("a command has the same result on every node", "%s at %d", m.n.id, e.Index)
	}
}

// Snapshot notes what a snapshot holds: it must be the same on every node after the same command. Before it stands after which.
func (m *witness) Snapshot() (actors.View, error) {
	m.panic()
	if m.view != nil && !m.view.closed {
		m.n.w.fail("a view is closed before the next is taken", "%s", m.n.id)
	}
	view, err := m.StateMachine.Snapshot()
	m.view = &witnessed{View: view, m: m, after: m.applied}
	return m.view, err
}

// witnessed is a view whose state is compared with that of other nodes.
type witnessed struct {
	actors.View
	m               *witness
	after           uint64
	writing, closed bool
}

func (v *witnessed) Close() error {
	if v.closed || v.writing {
		v.m.n.w.fail("a view is closed once, and not while it is written", "%s: %+v", v.m.n.id, v)
	}
	v.closed = true
	return v.View.Close()
}

func (v *witnessed) WriteTo(to io.Writer) (int64, error) {
	v.writing = true
	defer func() { v.writing = false }()
	if v.closed {
		v.m.n.w.fail("a view is written before it is closed", "%s", v.m.n.id)
	}
	var state bytes.Buffer
	if _, err := v.View.WriteTo(&state); err != nil {
		return 0, err
	}
	v.m.holds(v.after, state.Bytes())
	n, err := to.Write(append(binary.BigEndian.AppendUint64(nil, v.after), state.Bytes()...))
	return int64(n), err
}

// holds compares a state with those that were seen after the same command.
func (m *witness) holds(after uint64, state []byte) {
	var h trace
	h.bytes(state)
	t := &m.n.w.truth[m.g]
	if was, known := t.states[after]; known && was != h.hash {
		m.n.w.fail("a snapshot has the same state on every node", "%s after %d: %q", m.n.id, after, state)
	}
	t.states[after] = h.hash
}

func (m *witness) Restore(from io.Reader) error {
	m.panic()
	all, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	after := binary.BigEndian.Uint64(all)
	if after < m.applied {
		m.n.w.fail("a snapshot never sets a state machine back", "%s: to %d from %d", m.n.id, after, m.applied)
	}
	m.holds(after, all[8:])
	m.applied = after
	defer overwrite(all)
	return m.StateMachine.Restore(bytes.NewReader(all[8:]))
}

// ConcurrentQuery lets callers ask by themselves in half of the seeds.
func (m *witness) ConcurrentQuery() bool { return m.n.w.options.Seed/4%2 == 0 }

func (m *witness) Query(ctx context.Context, query []byte) ([]byte, error) {
	m.panic()
	lent := bytes.Clone(query)
	defer overwrite(lent)
	return m.StateMachine.Query(ctx, lent)
}

func overwrite(b []byte) {
	for i := range b {
		b[i] = 0xee
	}
}

// panic panics once, if the node's state machines are to panic.
func (m *witness) panic() {
	if m.n.disk.panics {
		m.n.disk.panics = false
		m.n.panic(Panic)
	}
}

// model has the states that the committed commands led to: for each part, every state and the index from which on it held.
type model map[string][]version

type version struct {
	from  uint64
	state string
}

// apply takes the next command.
func (m model) apply(machine Machine, e actors.Entry) (value []byte, rejected bool) {
	op := Operation{Input: bytes.Clone(e.Command)}
	part := machine.partition(op)
	var state string
	if all := m[part]; len(all) > 0 {
		state = all[len(all)-1].state
	}
	next, value, rejected := machine.Apply(state, op)
	m[part] = append(m[part], version{e.Index, next})
	return value, rejected
}
