package simulation_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/simulation"
)

// dispenser hands out numbers, each once.
type dispenser struct{ next int }

func (d *dispenser) Apply(entries []actors.Entry) []actors.Result {
	results := make([]actors.Result, len(entries))
	for i := range entries {
		d.next++
		results[i].Value = strconv.AppendInt(nil, int64(d.next), 10)
	}
	return results
}

func (d *dispenser) Query(context.Context, []byte) ([]byte, error) {
	return strconv.AppendInt(nil, int64(d.next), 10), nil
}

func (d *dispenser) Snapshot() (actors.View, error) {
	return actors.ViewOf(strconv.AppendInt(nil, int64(d.next), 10)), nil
}

func (d *dispenser) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &d.next)
	return err
}

// The model says, one operation at a time, what the state machine does. Its state is a string.
func model(state string, op simulation.Operation) (next string, answer []byte, rejected bool) {
	n, _ := strconv.Atoi(state)
	if !op.Read {
		n++
	}
	return strconv.Itoa(n), []byte(strconv.Itoa(n)), false
}

func Example() {
	machine := simulation.Machine{
		New: func() actors.StateMachine { return new(dispenser) },
		Next: func(rng *rand.Rand, _ int) simulation.Operation {
			return simulation.Operation{Input: []byte("next"), Read: rng.IntN(2) == 0}
		},
		Apply: model,
	}
	for seed := range uint64(5) {
		r := simulation.Run(machine, simulation.Options{Seed: seed, Steps: 4000, Clients: 3, Faults: simulation.AllFaults()})
		if r.Failure != nil {
			fmt.Println(simulation.Minimise(machine, r).Failure)
			return
		}
	}
	fmt.Println("five clusters under faults, and every number was handed out once")
	// Output: five clusters under faults, and every number was handed out once
}
