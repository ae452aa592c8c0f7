package simulation

import (
	"bytes"
	"context"
	"fmt"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// witness stands around a state machine and checks what the machine is given and what it answers. The witness overwrites afterwards
// what it gave: a state machine may keep none of it.
type witness struct {
	actors.StateMachine
	n       *node
	g       int
	applied uint64
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
		if value, rejected := t.model.apply(w.machine, e); rejected != (r.Err != nil) || !bytes.Equal(value, r.Value) {
			w.fail("a state machine answers as its model does",
				"%s at %d: %q is answered by %q %v", m.n.id, e.Index, e.Command, r.Value, r.Err)
		}
	case was != h.hash:
		w.fail("a command has the same result on every node", "%s at %d", m.n.id, e.Index)
	}
}

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
		m.n.w.hit(Panic)
		panic(injectedPanic)
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

// checkStale checks that a stale read found a state that the node had between the question and the answer.
func (m model) checkStale(a *asked, value []byte) {
	w, until := a.c.w, a.n.machines[a.c.group].applied
	held := []string{""} // the state at since, and then those until the answer
	for _, v := range m[w.machine.partition(a.op)] {
		switch {
		case v.from <= a.since:
			held[0] = v.state
		case v.from <= until:
			held = append(held, v.state)
		}
	}
	for _, state := range held {
		if _, answer, _ := w.machine.Apply(state, a.op); bytes.Equal(answer, value) {
			return
		}
	}
	w.fail("a stale read finds what its node had applied",
		"%s at %d, then %d: %q is answered by %q, not by one of %q", a.n.id, a.since, until, a.op.Input, value, held)
}
