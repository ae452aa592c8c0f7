package simulation

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/troupe-raft/troupe/actors"
)

// Machine is what a run replicates: a state machine, how clients use it, and a sequential model of it.
type Machine struct {
	// New makes an empty state machine, for each start of a node. The memory of a command or query is overwritten after the call.
	New func() actors.StateMachine
	// Next draws a client's next operation; n counts all operations of the run.
	Next func(rng *rand.Rand, n int) Operation
	// Apply is the model: what an operation does to a state, and what it answers. The first state is "".
	Apply func(state string, op Operation) (next string, answer []byte, rejected bool)
	// Partition names the part of the state that an operation is about; parts are checked on their own. nil: there is one.
	Partition func(op Operation) string
}

func (m Machine) partition(op Operation) string {
	if m.Partition == nil {
		return ""
	}
	return m.Partition(op)
}

// Operation is a command, or a query.
type Operation struct {
	Input []byte
	Read  bool
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

// Snapshot copies the state, in the order of keys: nodes whose states are equal write the same.
func (r registers) Snapshot() (actors.View, error) {
	var state []byte
	for _, key := range slices.Sorted(maps.Keys(r)) {
		state = fmt.Appendf(state, "%s %s\n", key, r[key])
	}
	return actors.ViewOf(state), nil
}

func (r registers) Restore(from io.Reader) error {
	clear(r)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		r[key] = value
	}
	return lines.Err()
}

func (r registers) Query(_ context.Context, query []byte) ([]byte, error) {
	return []byte(r[string(query)]), nil
}
