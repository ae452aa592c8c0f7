// Command counter is a Proto.Actor application with a replicated counter. Its three nodes share a process to keep the program short.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
)

// counter is the state machine: every node applies the same commands in the same order. Here every command adds one.
type counter int

func (c *counter) Apply(entries []actors.Entry) []actors.Result {
	*c += counter(len(entries))
	return make([]actors.Result, len(entries))
}

func (c *counter) Query(context.Context, []byte) ([]byte, error) { return fmt.Append(nil, *c), nil }

func (c *counter) Snapshot() (actors.View, error) { return actors.ViewOf(fmt.Append(nil, *c)), nil }

func (c *counter) Restore(r io.Reader) error { _, err := fmt.Fscan(r, c); return err }

// visitor is an actor of the application. It adds a hundred, one plain message each, and then asks for the total.
type visitor struct {
	group   *actor.PID
	replies int
	total   chan *cluster.Reply // or the first error
}

func (v *visitor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		for range 100 {
			c.Request(v.group, &cluster.Propose{Command: []byte("add one")})
		}
	case *cluster.Reply:
		if v.replies++; m.Err != nil || v.replies > 100 {
			v.total <- m
		} else if v.replies == 100 {
			c.Request(v.group, &cluster.Read{})
		}
	}
}

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	quiet, dir := slog.New(slog.DiscardHandler), must(os.MkdirTemp("", "counter-"))
	defer os.RemoveAll(dir)
	members := must(cluster.ParseMembers("n1=127.0.0.1:18471,n2=127.0.0.1:18472,n3=127.0.0.1:18473"))
	nodes, apps := map[*cluster.Group]*cluster.Node{}, map[*cluster.Group]*actor.ActorSystem{}
	for _, m := range members {
		app := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
		config := cluster.Config{ID: m.ID, DataDir: dir + "/" + m.ID, PeerAddr: m.Address, Logger: quiet}
		node := must(cluster.Start(ctx, config, cluster.WithActorSystem(app)))
		defer node.Shutdown(context.Background())
		group := must(node.StartGroup(ctx, "counter", members, new(counter)))
		nodes[group], apps[group] = node, app
	}
	for ; len(nodes) > 1; time.Sleep(time.Millisecond) { // as long as there is a majority
		must(0, ctx.Err())
		for group, node := range nodes {
			if group.Status().Ready { // this node leads
				v := &visitor{group: group.PID(), total: make(chan *cluster.Reply, 101)}
				apps[group].Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return v }))
				total := <-v.total
				fmt.Printf("%s leads, and the total is %s\n", node.ID(), must(total.Value, total.Err))
				must(0, node.Shutdown(ctx)) // the next visitor finds another leader, and the same total
				delete(nodes, group)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Panic(err) // log.Fatal would skip what is deferred
	}
	return v
}
