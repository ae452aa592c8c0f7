package main

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
)

func opening(account string, deposit uint64) *Command {
	return &Command{Action: &Command_Open{Open: &Open{Account: account, Deposit: deposit}}}
}

func transfer(from, to string, amount uint64) *Command {
	return &Command{Action: &Command_Transfer{Transfer: &Transfer{From: from, To: to, Amount: amount}}}
}

func TestLedger(t *testing.T) {
	l := newLedger()
	for i, step := range []struct {
		command *Command
		left    uint64
		refusal string
	}{
		{opening("a", 10), 10, ""},
		{opening("a", 10), 0, "the account exists already"},
		{opening("b", math.MaxUint64-10), math.MaxUint64 - 10, ""},
		{opening("c", 1), 0, "the bank cannot hold that much"},
		{opening("d", 0), 0, ""},
		{transfer("a", "d", 4), 4, ""},
		{transfer("a", "b", 6), math.MaxUint64 - 4, ""},
		{transfer("d", "d", 3), 4, ""},
		{transfer("a", "d", 1), 0, "there is not enough money in the account"},
		{transfer("a", "x", 0), 0, "there is no such account"},
		{transfer("x", "a", 0), 0, "there is no such account"},
		{&Command{}, 0, "the command has no action"},
	} {
		result, err := l.Apply(step.command)
		if result.GetBalance() != step.left || (err == nil) != (step.refusal == "") || err != nil && err.Error() != step.refusal {
			t.Errorf("step %d: %v, %v", i, result, err)
		}
	}
	if want := map[string]uint64{"a": 0, "b": math.MaxUint64 - 4, "d": 4}; !maps.Equal(l.balances, want) {
		t.Error(l.balances)
	}
}

// Through the protocol, whatever bytes come: no money is made or lost, and a restored ledger goes on from there.
func TestTheSumStays(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLedger()
	machine := bank.StateMachine(l)
	for i := range 5 {
		if _, err := l.Apply(opening(fmt.Sprint(i), 100)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		b, err := proto.Marshal(transfer(fmt.Sprint(random.IntN(6)), fmt.Sprint(random.IntN(6)), random.Uint64N(150)))
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) == 0 {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		c := &Command{}
		if proto.Unmarshal(b, c) == nil && c.GetOpen() != nil {
			continue // this makes money
		}
		machine.Apply([]actors.Entry{{Index: 1, Command: b}})
		if sum(l.balances) != 500 || l.total != 500 {
			t.Fatalf("seed %d: the sum is %d, the total %d, after %v", seed, sum(l.balances), l.total, c)
		}
	}

	view, err := machine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if _, err := view.WriteTo(&written); err != nil {
		t.Fatal(err)
	}
	restored := newLedger()
	if err := bank.StateMachine(restored).Restore(&written); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(restored.balances, l.balances) || restored.total != l.total {
		t.Errorf("%v is restored as %v", l, restored)
	}
}
