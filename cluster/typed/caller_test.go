package typed

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
)

// The same messages go through a group, a client and the actors of both.
func TestCallersAndMail(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	app := application(t)
	node, group := alone(t, app, newNotes(), actors.Limits{})
	endpoints := []string{node.ClientAddr()}
	c := client.New(endpoints)
	defer c.Close()
	for name, caller := range map[string]caller{"group": notebook.At(group), "client": notebook.Through(c, "notes")} {
		asks(ctx, t, name, caller)
	}
	pid, err := client.Spawn(app, endpoints)
	if err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]*actor.PID{"group's actor": group.PID(), "client's actor": pid} {
		mails(t, app, name, pid)
	}

	var rejected *actors.RejectedError
	if _, err := group.Propose(ctx, []byte{0xff}); !errors.As(err, &rejected) {
		t.Error(err)
	}
}

func application(t *testing.T) *actor.ActorSystem {
	app := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	t.Cleanup(app.Shutdown)
	return app
}

type machine = Machine[*structpb.Struct, *wrapperspb.UInt64Value, *wrapperspb.StringValue, *structpb.Struct]

// alone is a node with the group "notes", which leads as soon as somebody asks it.
func alone(t *testing.T, app *actor.ActorSystem, m machine, limits actors.Limits) (*cluster.Node, *cluster.Group) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	node, err := cluster.Start(ctx, cluster.Config{
		ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t), ClientAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Timing: actors.Timing{Heartbeat: 30 * time.Millisecond, Election: 150 * time.Millisecond}, Limits: limits,
	}, cluster.WithActorSystem(app))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	members, err := cluster.ParseMembers("n1=" + node.PeerAddr())
	if err != nil {
		t.Fatal(err)
	}
	group, err := node.StartGroup(ctx, "notes", members, notebook.StateMachine(m))
	if err != nil {
		t.Fatal(err)
	}
	return node, group
}

// strange is a group with another state machine.
type strange struct{}

func (strange) Propose(context.Context, []byte, ...cluster.ProposeOption) (cluster.Result, error) {
	return cluster.Result{Value: []byte{0xff}}, nil
}

func (strange) Query(context.Context, cluster.ReadOptions, []byte) (cluster.Result, error) {
	return cluster.Result{Value: []byte{0xff}}, nil
}

func TestStrangeAnswers(t *testing.T) {
	c, reply := notebook.At(strange{}), &client.Reply{Value: []byte{0xff}}
	_, proposed := c.Propose(t.Context(), &structpb.Struct{})
	_, read := c.Read(t.Context(), &wrapperspb.StringValue{})
	_, result := notebook.Result(reply)
	_, answer := notebook.Answer(reply)
	for _, err := range []error{proposed, read, result, answer} {
		if !errors.Is(err, ErrNoSuchMessage) {
			t.Error(err)
		}
	}
}

type caller = Caller[*structpb.Struct, *wrapperspb.UInt64Value, *wrapperspb.StringValue, *structpb.Struct]

func asks(ctx context.Context, t *testing.T, name string, c caller) {
	t.Helper()
	if _, err := c.Propose(ctx, note(t, map[string]any{name: "x"})); err != nil {
		t.Error(name, err)
	}
	if notes, err := c.Read(ctx, wrapperspb.String(name)); err != nil || notes.Fields[name].GetStringValue() != "x" {
		t.Error(name, notes, err)
	}
	if notes, err := c.ReadAs(ctx, client.Read{Consistency: actors.Stale}, wrapperspb.String(name)); err != nil || len(notes.Fields) != 1 {
		t.Error(name, notes, err)
	}
	rejected := new(actors.RejectedError)
	if _, err := c.Propose(ctx, &structpb.Struct{}); !errors.As(err, &rejected) && !errors.Is(err, client.ErrRejected) {
		t.Error(name, err)
	}
	if _, err := c.Propose(ctx, &structpb.Struct{Fields: map[string]*structpb.Value{"\xff": nil}}); err == nil {
		t.Error(name, "sent what is no text")
	}
	if _, err := c.Read(ctx, wrapperspb.String("\xff")); err == nil {
		t.Error(name, "asked for what is no text")
	}
}

func mails(t *testing.T, app *actor.ActorSystem, name string, pid *actor.PID) {
	t.Helper()
	ask := func(mail any, err error) *client.Reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		answer, err := app.Root.RequestFuture(pid, mail, 20*time.Second).Result()
		if err != nil {
			t.Fatal(err)
		}
		return answer.(*client.Reply)
	}
	mail, err := notebook.Submit(note(t, map[string]any{name: "y"}))
	if count, err := notebook.Result(ask(mail, err)); err != nil || count.Value == 0 {
		t.Error(name, count, err)
	}
	question, err := notebook.Query(wrapperspb.String(name))
	if notes, err := notebook.Answer(ask(question, err)); err != nil || notes.Fields[name].GetStringValue() != "y" {
		t.Error(name, notes, err)
	}
	mail, err = notebook.Submit(&structpb.Struct{})
	if _, err := notebook.Result(ask(mail, err)); !errors.Is(err, client.ErrRejected) {
		t.Error(name, err)
	}
	if _, err := notebook.Answer(ask(mail, nil)); !errors.Is(err, client.ErrRejected) {
		t.Error(name, err)
	}
}
