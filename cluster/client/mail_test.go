package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
	"github.com/troupe-raft/troupe/messages"
)

func application(t *testing.T) *actor.ActorSystem {
	app := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	t.Cleanup(app.Shutdown)
	return app
}

func spawn(t *testing.T, app *actor.ActorSystem, endpoints []string, opts ...client.Option) *actor.PID {
	pid, err := client.Spawn(app, endpoints, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Root.Stop(pid) })
	return pid
}

// inbox is an actor that keeps its replies.
func inbox(app *actor.ActorSystem) (*actor.PID, chan *client.Reply) {
	replies := make(chan *client.Reply, 100)
	return app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if r, ok := c.Message().(*client.Reply); ok {
			replies <- r
		}
	})), replies
}

func next(t *testing.T, replies chan *client.Reply) *client.Reply {
	t.Helper()
	select {
	case r := <-replies:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no reply")
		return nil
	}
}

func TestActorOfClient(t *testing.T) {
	f := listen(t, &fake{query: func(_ context.Context, r *messages.QueryRequest) (*messages.QueryResponse, error) {
		if r.Group == "refused" {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no such query"))
		}
		told := fmt.Sprint(r.Group, " ", r.Consistency, " ", r.MaxStalenessMs, " ", r.MinIndex, " ", string(r.Query))
		return &messages.QueryResponse{Index: 7, Value: []byte(told)}, nil
	}})
	app := application(t)
	pid := spawn(t, app, []string{f.address})
	me, replies := inbox(app)
	ask := func(mail any) *client.Reply {
		t.Helper()
		app.Root.RequestWithCustomSender(pid, mail, me)
		return next(t, replies)
	}
	if r := ask(&client.Submit{Command: kvwire.Put("k", nil)}); r.Err != nil || r.Index != 9 || len(r.Value) == 0 {
		t.Fatal(r)
	}
	how := client.Read{Consistency: actors.Bounded, MaxStaleness: 3 * time.Millisecond, MinIndex: 4}
	r := ask(&client.Query{Group: "g", Read: how, Query: []byte("q")})
	if r.Err != nil || r.Index != 7 || string(r.Value) != "g BOUNDED 3 4 q" {
		t.Fatal(r)
	}
	if r := ask(&client.Query{Group: "refused"}); !errors.Is(r.Err, client.ErrInvalid) {
		t.Fatal(r)
	}
	if r := ask("what is this"); !errors.Is(r.Err, client.ErrInvalid) {
		t.Fatal(r)
	}
	app.Root.Send(pid, &client.Submit{Command: kvwire.Put("k", nil)}) // nobody waits
	app.Root.Send(pid, "nobody asks")
	eventually(t, "the second write", func() bool { return f.putCount() == 2 })
	app.Root.Stop(pid)
	eventually(t, "the actor's session ends with it", func() bool { return f.closeCount() == 1 })

	if _, err := client.Spawn(app, nil); !errors.Is(err, client.ErrNoEndpoints) {
		t.Fatal(err)
	}
}

// Beyond its bound the actor refuses. It waits for no call and for no sender.
func TestActorOfClientIsBounded(t *testing.T) {
	release := make(chan struct{})
	f := listen(t, &fake{put: func(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
		select {
		case <-release:
			return &messages.PutResponse{Version: 1}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	app := application(t)
	pid := spawn(t, app, []string{f.address}, client.MostCalls(2))
	me, replies := inbox(app)
	put := &client.Submit{Command: kvwire.Put("k", nil), Timeout: 30 * time.Second}
	hold := make(chan struct{})
	defer close(hold)
	deaf := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*client.Reply); ok {
			<-hold
		}
	}, actor.WithMailbox(actor.Bounded(4))))
	app.Root.RequestWithCustomSender(pid, put, me)
	app.Root.RequestWithCustomSender(pid, put, me)
	before := runtime.NumGoroutine()
	for range 5000 {
		app.Root.RequestWithCustomSender(pid, put, deaf)
	}
	if _, err := app.Root.RequestFuture(pid, "no mail of clients", 20*time.Second).Result(); err != nil { // that before it was taken
		t.Fatal(err)
	}
	if n := runtime.NumGoroutine() - before; n > 500 {
		t.Errorf("%d goroutines wait for a sender that is deaf", n)
	}
	app.Root.RequestWithCustomSender(pid, put, me)
	if r := next(t, replies); !errors.Is(r.Err, client.ErrOverloaded) {
		t.Fatal(r)
	}
	close(release)
	for range 2 {
		if r := next(t, replies); r.Err != nil {
			t.Fatal(r)
		}
	}
}

// A call's time is its own.
func TestActorOfClientKeepsToTimeouts(t *testing.T) {
	app := application(t)
	me, replies := inbox(app)
	pid := spawn(t, app, []string{refusedAddress(t)})
	app.Root.RequestWithCustomSender(pid, &client.Query{Timeout: 100 * time.Millisecond}, me)
	if r := next(t, replies); !errors.Is(r.Err, client.ErrUnavailable) || !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Fatal(r)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
