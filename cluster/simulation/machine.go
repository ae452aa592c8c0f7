package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Machine is what a run replicates: a state machine, how clients use it, and a sequential model of it.
type Machine struct {
	// New makes an empty state machine, for each start of a node.
	New func() actors.StateMachine
	// Next draws a client's next operation; n counts all operations of the run.
	Next func(rng *rand.Rand, n int) Operation
	// Apply is the model: what an operation does to a state, and what it answers. The first state is "".
	Apply func(state string, op Operation) (next string, answer []byte, rejected bool)
	// Partition names the part of the state that an operation is about; parts are checked on their own. nil: there is one.
	Partition func(op Operation) string
}

// Operation is a command, or a query.
type Operation struct {
	Input []byte
	Read  bool
}

// witness stands around a state machine and checks what it is given and what it answers.
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
		w.fail("what a state machine is given at a time is bounded", fmt.Sprintf("%s gives it %d entries", m.n.id, len(entries)))
	}
	for _, e := range entries {
		switch {
		case e.Index <= m.applied:
			w.fail("every index is applied once, in order", fmt.Sprintf("%s applies %d after %d", m.n.id, e.Index, m.applied))
		case e.Index > uint64(len(t.committed)):
			w.fail("only what is committed is applied", fmt.Sprintf("%s applies %d", m.n.id, e.Index))
			return make([]actors.Result, len(entries))
		case t.committed[e.Index-1].hash != contents(messages.Entry_KIND_COMMAND, e.Command):
			w.fail("all servers apply the same command at an index (State Machine Safety)", fmt.Sprintf("%s at %d", m.n.id, e.Index))
		}
		m.applied = e.Index
	}
	results := m.StateMachine.Apply(entries)
	for i, r := range results {
		var h trace
		h.bytes(r.Value)
		h.text(fmt.Sprint(r.Err))
		at := &t.results[entries[i].Index-1]
		if *at != 0 && *at != h.hash {
			w.fail("a command has the same result on every node", fmt.Sprintf("%s at %d", m.n.id, entries[i].Index))
		}
		*at = h.hash
	}
	return results
}

func (m *witness) Query(ctx context.Context, query []byte) ([]byte, error) {
	m.panic()
	return m.StateMachine.Query(ctx, query)
}

// panic does so once if the node's state machines are to.
func (m *witness) panic() {
	if m.n.disk.panics {
		m.n.disk.panics = false
		m.n.w.hit(Panic)
		panic(injectedPanic)
	}
}

// Registers is the machine of the built-in runs: keys with put, compare-and-swap and get.
func Registers() Machine {
	return Machine{
		New: func() actors.StateMachine { return registers{} },
		Next: func(rng *rand.Rand, n int) Operation {
			key := fmt.Sprintf("k%d", n/60*2+rng.IntN(2)) // new keys now and then: a history is checked key by key
			switch rng.IntN(5) {
			case 0, 1:
				return Operation{Input: []byte(key), Read: true}
			case 2:
				return Operation{Input: fmt.Appendf(nil, "swap %s %d %d", key, n-1-rng.IntN(6), n)}
			default:
				return Operation{Input: fmt.Appendf(nil, "put %s %d", key, n)}
			}
		},
		Apply: func(state string, op Operation) (string, []byte, bool) {
			if op.Read {
				return state, []byte(state), false
			}
			return change(state, strings.Fields(string(op.Input)))
		},
		Partition: func(op Operation) string {
			if op.Read {
				return string(op.Input)
			}
			return strings.Fields(string(op.Input))[1]
		},
	}
}

// change is one command's effect on the value of its key.
func change(value string, command []string) (next string, answer []byte, rejected bool) {
	switch {
	case command[0] == "put":
		return command[2], []byte(value), false
	case value == command[2]:
		return command[3], []byte("swapped"), false
	default:
		return value, nil, true
	}
}

type registers map[string]string

var errNotSwapped = fmt.Errorf("the key has another value")

func (r registers) Apply(entries []actors.Entry) []actors.Result {
	results := make([]actors.Result, len(entries))
	for i, e := range entries {
		command := strings.Fields(string(e.Command))
		next, answer, rejected := change(r[command[1]], command)
		r[command[1]] = next
		results[i].Value = answer
		if rejected {
			results[i].Err = errNotSwapped
		}
	}
	return results
}

func (r registers) Query(_ context.Context, query []byte) ([]byte, error) {
	return []byte(r[string(query)]), nil
}
