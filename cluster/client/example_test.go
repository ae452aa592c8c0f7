package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

// play is a state machine that keeps the last command.
type play []byte

func (p *play) Apply(entries []actors.Entry) []actors.Result {
	*p = append(play(nil), entries[len(entries)-1].Command...)
	return make([]actors.Result, len(entries))
}

func (p *play) Query(context.Context, []byte) ([]byte, error) { return *p, nil }

func (p *play) Snapshot() (actors.View, error) { return actors.ViewOf(*p), nil }

func (p *play) Restore(r io.Reader) (err error) {
	*p, err = io.ReadAll(r)
	return err
}

// An actor writes and reads by mail. It need not be where the nodes are.
func ExampleSpawn() {
	quiet := slog.New(slog.DiscardHandler)
	stop, address := startNode(quiet)
	defer stop()

	app := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	defer app.Shutdown()
	pid, err := client.Spawn(app, []string{address})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(pid, &client.Submit{Command: []byte("Hamlet"), Timeout: 20 * time.Second})
		case *client.Reply:
			switch {
			case m.Err != nil:
				log.Fatal(m.Err)
			case len(m.Value) == 0: // it is written
				c.Request(pid, &client.Query{})
			default:
				fmt.Printf("%s\n", m.Value)
				close(done)
			}
		}
	}))
	<-done
	app.Root.PoisonFuture(pid).Wait() // its client ends with it
	// Output: Hamlet
}

// startNode starts a cluster of one node that serves a play.
func startNode(logger *slog.Logger) (stop func(), clientAddress string) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "troupe")
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	_ = l.Close()
	config := cluster.Config{ID: "n1", DataDir: dir, PeerAddr: l.Addr().String(), ClientAddr: "127.0.0.1:0", Logger: logger}
	node, err := cluster.Start(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	members, err := cluster.ParseMembers("n1=" + node.PeerAddr())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := node.StartGroup(ctx, "play", members, new(play)); err != nil {
		log.Fatal(err)
	}
	return func() {
		_ = node.Shutdown(ctx)
		_ = os.RemoveAll(dir)
	}, node.ClientAddr()
}
