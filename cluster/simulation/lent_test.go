package simulation

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/troupe-raft/troupe/actors"
)

// last is a state machine that answers a command with the command before, and a query with itself.
type last struct {
	command     []byte
	keeps, echo bool // the memory that it was lent
}

func (l *last) Apply(entries []actors.Entry) []actors.Result {
	results := make([]actors.Result, len(entries))
	for i, e := range entries {
		results[i].Value = l.command
		if l.command = e.Command; !l.keeps {
			l.command = bytes.Clone(e.Command)
		}
	}
	return results
}

func (l *last) Query(_ context.Context, query []byte) ([]byte, error) {
	if l.echo {
		return query, nil
	}
	return bytes.Clone(query), nil
}

func (l *last) Snapshot() (actors.View, error) { return actors.ViewOf(bytes.Clone(l.command)), nil }

func (l *last) Restore(r io.Reader) (err error) {
	l.command, err = io.ReadAll(r)
	return err
}

// A state machine that keeps the memory of a command or of a query is found.
func TestWhatAStateMachineIsLentIsTakenBack(t *testing.T) {
	run := func(keeps, echo bool) Result {
		return Run(Machine{
			New: func() actors.StateMachine { return &last{keeps: keeps, echo: echo} },
			Next: func(rng *rand.Rand, n int) Operation {
				return Operation{Input: []byte{'a' + byte(n%26)}, Read: rng.IntN(2) == 0}
			},
			Apply: func(state string, op Operation) (string, []byte, bool) {
				if op.Read {
					return state, op.Input, false
				}
				return string(op.Input), []byte(state), false
			},
		}, Options{Seed: 2, Steps: 2000})
	}
	if r := run(false, false); r.Failure != nil {
		t.Error(r.Failure)
	}
	if run(true, false).Failure == nil {
		t.Error("it kept a command, and was not found")
	}
	if run(false, true).Failure == nil {
		t.Error("it answered with the memory of a query, and was not found")
	}
}
