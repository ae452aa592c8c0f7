// Command bank moves money while its leaders are stopped, one after the other. Three nodes share a process to keep it short.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/typed"
)

const accounts, deposit, tellers, each, stops = 10, 100, 8, 500, 3

var bank = typed.Protocol[*Command, *Result, *Query, *Answer]{}

// move is a transfer, and how it ended.
type move struct {
	*Transfer
	err error
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx, _ = signal.NotifyContext(ctx, os.Interrupt)
	dir, servers := must(os.MkdirTemp("", "bank-")), make([]server, len(members))
	defer os.RemoveAll(dir)
	for i := range servers {
		defer servers[i].stop()
		servers[i].start(ctx, i, dir)
	}
	c := client.New(endpoints)
	defer c.Close()
	ledger, moves, books, refused := bank.Through(c, "bank"), make(chan move, tellers*each), map[string]uint64{}, 0
	for i := range accounts {
		books[fmt.Sprint(i)] = deposit
		must(ledger.Propose(ctx, &Command{Action: &Command_Open{&Open{Account: fmt.Sprint(i), Deposit: deposit}}}))
	}
	for range tellers {
		go func() {
			for range each {
				t := &Transfer{From: fmt.Sprint(rand.N(accounts)), To: fmt.Sprint(rand.N(accounts)), Amount: rand.Uint64N(deposit)}
				_, err := ledger.Propose(ctx, &Command{Action: &Command_Transfer{t}})
				moves <- move{t, err}
			}
		}()
	}
	for n := 0; n < stops; time.Sleep(time.Millisecond) {
		must(0, ctx.Err())
		for i := range servers {
			if s := &servers[i]; s.group.Status().Ready && len(moves) > n*cap(moves)/stops { // it leads, and tellers are at work
				fmt.Printf("stopping the leader, %s, after %d transfers\n", members[i].ID, len(moves))
				must(0, s.stop())
				s.start(ctx, i, dir)
				n++
			}
		}
	}
	for range cap(moves) {
		if m := <-moves; errors.Is(m.err, client.ErrRejected) {
			refused++
		} else { // each that was answered counts once
			must(0, m.err)
			books[m.From] -= m.Amount
			books[m.To] += m.Amount
		}
	}
	fmt.Printf("%d transfers made, %d refused\n", cap(moves)-refused, refused)
	for i, s := range servers {
		found := must(bank.At(s.group).Read(ctx, &Query{})).Balances
		if sum(found) != accounts*deposit || !maps.Equal(found, books) {
			log.Panicf("%s has %d in %v, but the transfers come to %v", members[i].ID, sum(found), found, books)
		}
		fmt.Printf("%s has %d in all, and in each account what the transfers come to\n", members[i].ID, sum(found))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Panic(err) // log.Fatal would skip what is deferred
	}
	return v
}
