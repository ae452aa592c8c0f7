package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
)

// ledger is the state machine. Only an opening makes money, and nothing loses it.
type ledger struct {
	balances map[string]uint64
	total    uint64 // no balance can be more, so none overflows
}

func newLedger() *ledger { return &ledger{balances: map[string]uint64{}} }

func (l *ledger) Apply(c *Command) (*Result, error) {
	switch c.GetAction().(type) {
	case *Command_Open:
		return l.open(c.GetOpen())
	case *Command_Transfer:
		return l.transfer(c.GetTransfer())
	}
	return nil, errors.New("the command has no action")
}

func (l *ledger) open(o *Open) (*Result, error) {
	if _, exists := l.balances[o.Account]; exists {
		return nil, errors.New("the account exists already")
	}
	if o.Deposit > math.MaxUint64-l.total {
		return nil, errors.New("the bank cannot hold that much")
	}
	l.balances[o.Account] = o.Deposit
	l.total += o.Deposit
	return &Result{Balance: o.Deposit}, nil
}

func (l *ledger) transfer(t *Transfer) (*Result, error) {
	from, known := l.balances[t.From]
	if _, other := l.balances[t.To]; !known || !other {
		return nil, errors.New("there is no such account")
	}
	if from < t.Amount {
		return nil, errors.New("there is not enough money in the account")
	}
	l.balances[t.From] -= t.Amount
	l.balances[t.To] += t.Amount
	return &Result{Balance: l.balances[t.To]}, nil
}

func (l *ledger) Query(context.Context, *Query) (*Answer, error) {
	return &Answer{Balances: maps.Clone(l.balances)}, nil
}

func (l *ledger) Snapshot() (actors.View, error) {
	b, err := proto.Marshal(&Answer{Balances: l.balances})
	return actors.ViewOf(b), err
}

func (l *ledger) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	state := &Answer{}
	if err := proto.Unmarshal(b, state); err != nil {
		return err
	}
	*l = *newLedger()
	maps.Copy(l.balances, state.Balances)
	l.total = sum(l.balances)
	return nil
}

func sum(balances map[string]uint64) (total uint64) {
	for _, balance := range balances {
		total += balance
	}
	return total
}
