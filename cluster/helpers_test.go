package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
)

// noContext is what a careless caller passes; it must not panic.
var noContext context.Context

// testLogger shows warnings when TROUPE_TEST_LOG is set.
func testLogger(t testing.TB) *slog.Logger {
	if os.Getenv("TROUPE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func fastTiming() actors.Timing {
	return actors.Timing{Heartbeat: 30 * time.Millisecond, Election: 150 * time.Millisecond}
}

// single starts a node that is its own cluster; ports that are snatched away are chosen again.
func single(t testing.TB, dir string, machine actors.StateMachine, options ...cluster.Option) (*cluster.Node, *cluster.Group) {
	t.Helper()
	return singleAs(t, dir, machine, func(*cluster.Config) {}, options...)
}

func singleWithin(
	t testing.TB, dir string, machine actors.StateMachine, limits cluster.ClientLimits, options ...cluster.Option,
) (*cluster.Node, *cluster.Group) {
	t.Helper()
	return singleAs(t, dir, machine, func(c *cluster.Config) { c.Clients = limits }, options...)
}

func singleAs(
	t testing.TB, dir string, machine actors.StateMachine, change func(*cluster.Config), options ...cluster.Option,
) (*cluster.Node, *cluster.Group) {
	t.Helper()
	for attempt := 0; ; attempt++ {
		c := cluster.Config{
			ID: "n1", DataDir: dir, PeerAddr: loopback.FreeAddress(t), ClientAddr: "127.0.0.1:0",
			Timing: fastTiming(), Logger: testLogger(t),
		}
		change(&c)
		node, err := cluster.Start(t.Context(), c, options...)
		if errors.Is(err, syscall.EADDRINUSE) && attempt < 10 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shutdown(t, node) })
		group, err := node.StartGroup(t.Context(), "kv", []actors.Member{{ID: "n1", Address: c.PeerAddr}}, machine)
		if err != nil {
			t.Fatal(err)
		}
		return node, group
	}
}

// newApp is an application's actor system, which ends after the nodes of the test.
func newApp(t *testing.T) *actor.ActorSystem {
	app := actor.NewActorSystem(actor.WithLoggerFactory(actorLogger(t)))
	t.Cleanup(app.Shutdown)
	return app
}

// asked is what a group's actor replies.
func asked(t *testing.T, app *actor.ActorSystem, group *cluster.Group, message any) *cluster.Reply {
	t.Helper()
	answer, err := app.Root.RequestFuture(group.PID(), message, 20*time.Second).Result()
	if err != nil {
		t.Fatal(err)
	}
	return answer.(*cluster.Reply)
}

func shutdown(t testing.TB, node *cluster.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil && node.Failed() == nil {
		t.Error(err)
	}
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func leads(g *cluster.Group) bool {
	s := g.Status()
	return s.Role == actors.Leader && s.Ready
}

func mustContain(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("the error %q does not say %q", err, part)
		}
	}
}

func connectAs(err error, target **connect.Error) bool { return errors.As(err, target) }

func actorLogger(t testing.TB) func(*actor.ActorSystem) *slog.Logger {
	return func(*actor.ActorSystem) *slog.Logger { return testLogger(t) }
}
