package typed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

func front(t *testing.T, app *actor.ActorSystem, behind *actor.PID, how Mailing) *actor.PID {
	t.Helper()
	pid, err := notebook.Spawn(app, behind, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Root.Stop(pid) })
	return pid
}

// inbox is an actor that keeps what it gets.
func inbox(app *actor.ActorSystem) (*actor.PID, chan any) {
	mail := make(chan any, 10_000)
	return app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(actor.SystemMessage); !ok {
			mail <- c.Message()
		}
	})), mail
}

func next(t *testing.T, mail chan any) any {
	t.Helper()
	select {
	case m := <-mail:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no reply")
		return nil
	}
}

func told(t *testing.T, app *actor.ActorSystem, pid *actor.PID, message any) any {
	t.Helper()
	reply, err := app.Root.RequestFuture(pid, message, 20*time.Second).Result()
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func refused(t *testing.T, reply any, want ...error) {
	t.Helper()
	err, ok := reply.(error)
	for _, want := range want {
		if !ok || !errors.Is(err, want) {
			t.Errorf("%T: %v is not %v", reply, reply, want)
		}
	}
}

func counts(reply any, want uint64) bool {
	count, ok := reply.(*wrapperspb.UInt64Value)
	return ok && count.Value == want
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Plain messages go in and come out, whichever actor is behind.
func TestActorTakesPlainMessages(t *testing.T) {
	app := application(t)
	node, group := alone(t, app, newNotes(), actors.Limits{})
	for name, behind := range map[string]*actor.PID{"group's actor": group.PID(), "client's actor": clients(t, app, node, group)} {
		t.Run(name, func(t *testing.T) {
			pid := front(t, app, behind, Mailing{Group: "notes"})
			if reply := told(t, app, pid, note(t, map[string]any{name: "x"})); !counts(reply, 1) && !counts(reply, 3) {
				t.Error(reply)
			}
			app.Root.Send(pid, note(t, map[string]any{name + " unasked": "y"}))
			eventually(t, "what nobody asked for is done", func() bool {
				notes, ok := told(t, app, pid, wrapperspb.String(name)).(*structpb.Struct)
				return ok && notes.Fields[name].GetStringValue() == "x" && notes.Fields[name+" unasked"].GetStringValue() == "y"
			})
			stale := front(t, app, behind, Mailing{Read: client.Read{Consistency: actors.Stale}})
			if notes, ok := told(t, app, stale, wrapperspb.String(name)).(*structpb.Struct); !ok || len(notes.Fields) != 2 {
				t.Error(notes)
			}
			refused(t, told(t, app, pid, &structpb.Struct{}), client.ErrRejected, client.ErrInvalid)
			other := front(t, app, behind, Mailing{Group: "other", Timeout: time.Second})
			if _, ok := told(t, app, other, note(t, map[string]any{name: "z"})).(error); !ok {
				t.Error("a group that is not there took a note")
			}
		})
	}
}

// What is no message of the protocol is refused, and the actor goes on.
func TestActorRefusesWhatIsNoMessage(t *testing.T) {
	app := application(t)
	behind, mail := inbox(app)
	pid := front(t, app, behind, Mailing{})
	for _, bad := range []any{
		nil, 7, "a", &client.Submit{}, structpb.Struct{}, wrapperspb.UInt64(1), (*structpb.Struct)(nil), (*wrapperspb.StringValue)(nil),
		wrapperspb.String("\xff"), &structpb.Struct{Fields: map[string]*structpb.Value{"\xff": nil}},
	} {
		if bad != nil { // Proto.Actor's mailbox spins for ever on a nil that is in no envelope
			app.Root.Send(pid, bad)
		}
		refused(t, told(t, app, pid, bad), client.ErrInvalid)
	}
	if err := told(t, app, pid, 7); !strings.Contains(fmt.Sprint(err), "takes *structpb.Struct and *wrapperspb.StringValue, not int") {
		t.Error(err)
	}
	if len(mail) > 0 {
		t.Error(<-mail)
	}
	if _, err := notebook.Spawn(app, nil, Mailing{}); err == nil {
		t.Error("there is an actor before none")
	}
}

// A reply that is of another protocol is an error, and who is asked for two things of one type is told a command.
func TestActorKnowsWhatItAskedFor(t *testing.T) {
	app := application(t)
	behind := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch c.Message().(type) {
		case *client.Submit:
			c.Respond(&client.Reply{Value: []byte{0xff}})
		case *client.Query:
			c.Respond(&client.Reply{Err: client.ErrOverloaded})
		}
	}))
	pid := front(t, app, behind, Mailing{})
	refused(t, told(t, app, pid, &structpb.Struct{}), ErrNoSuchMessage)
	refused(t, told(t, app, pid, wrapperspb.String("")), client.ErrOverloaded)
	same := Protocol[*structpb.Struct, *structpb.Struct, *structpb.Struct, *structpb.Struct]{}
	pid, err := same.Spawn(app, behind, Mailing{})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, told(t, app, pid, &structpb.Struct{}), ErrNoSuchMessage)
}

// Each command counts one note more: one sender's commands are applied as they were sent, and answered so.
func TestActorKeepsTheOrder(t *testing.T) {
	app := application(t)
	_, group := alone(t, app, newNotes(), actors.Limits{})
	pid := front(t, app, group.PID(), Mailing{Timeout: 30 * time.Second})
	told(t, app, pid, note(t, map[string]any{"0": ""})) // somebody leads
	me, mail := inbox(app)
	for i := range 1000 {
		app.Root.RequestWithCustomSender(pid, note(t, map[string]any{fmt.Sprint(i + 1): ""}), me)
	}
	for i := range 1000 {
		if reply := next(t, mail); !counts(reply, uint64(i+2)) {
			t.Fatal(i, reply)
		}
	}
}

// slow does not take a note of the name "slow" before it is released.
type slow struct {
	*notes
	released chan struct{}
}

func (s slow) Apply(c *structpb.Struct) (*wrapperspb.UInt64Value, error) {
	if _, ok := c.Fields["slow"]; ok {
		<-s.released
	}
	return s.notes.Apply(c)
}

// What the actor behind refuses is refused.
func TestRefusalsComeThrough(t *testing.T) {
	for name, behind := range map[string]struct {
		limits actors.Limits
		actor  func(*testing.T, *actor.ActorSystem, *cluster.Node, *cluster.Group) *actor.PID
	}{
		"group's actor":  {actors.Limits{AdmittedCommands: 4}, groups},
		"client's actor": {actors.Limits{}, clients},
	} {
		t.Run(name, func(t *testing.T) {
			app, released := application(t), make(chan struct{})
			node, group := alone(t, app, slow{newNotes(), released}, behind.limits)
			release := sync.OnceFunc(func() { close(released) })
			defer release()
			pid := front(t, app, behind.actor(t, app, node, group), Mailing{Timeout: time.Minute})
			told(t, app, pid, note(t, map[string]any{"quick": ""})) // a session is open
			me, mail := inbox(app)
			for range 10 {
				app.Root.RequestWithCustomSender(pid, note(t, map[string]any{"slow": ""}), me)
			}
			for range 6 {
				refused(t, next(t, mail), client.ErrOverloaded)
			}
			release()
			for range 4 {
				if reply := next(t, mail); !counts(reply, 2) {
					t.Error(reply)
				}
			}
		})
	}
}

func groups(_ *testing.T, _ *actor.ActorSystem, _ *cluster.Node, g *cluster.Group) *actor.PID {
	return g.PID()
}

func clients(t *testing.T, app *actor.ActorSystem, n *cluster.Node, _ *cluster.Group) *actor.PID {
	pid, err := client.Spawn(app, []string{n.ClientAddr()}, client.MostCalls(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Root.Stop(pid) })
	return pid
}

// The actor has no more calls than it has room for, whatever the actor behind says.
func TestActorIsBounded(t *testing.T) {
	app := application(t)
	me, mail := inbox(app)
	silent, taken := inbox(app)
	k := notebook.newClerk(app, silent, Mailing{})
	k.room = make(chan struct{}, 2)
	pid := app.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return k }))
	for range 3 {
		app.Root.RequestWithCustomSender(pid, wrapperspb.String(""), me)
	}
	refused(t, next(t, mail), client.ErrOverloaded)
	if next(t, taken); len(k.room) != 2 {
		t.Error(len(k.room))
	}
}

// Who waits is told in time that the actor behind is no more.
func TestActorOutlivesTheOneBehind(t *testing.T) {
	app := application(t)
	behind, mail := inbox(app)
	k := notebook.newClerk(app, behind, Mailing{Timeout: 100 * time.Millisecond})
	pid := app.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return k }))
	refused(t, told(t, app, pid, &structpb.Struct{}), client.ErrOutcomeUnknown, context.DeadlineExceeded)
	refused(t, told(t, app, pid, wrapperspb.String("")), client.ErrUnavailable, context.DeadlineExceeded)
	if submit, ok := next(t, mail).(*client.Submit); !ok || submit.Timeout != 90*time.Millisecond {
		t.Error(submit)
	}
	if query, ok := next(t, mail).(*client.Query); !ok || query.Timeout != 90*time.Millisecond {
		t.Error(query)
	}
	if err := app.Root.StopFuture(behind).Wait(); err != nil {
		t.Fatal(err)
	}
	k.how.Timeout = time.Hour // the actor is idle
	refused(t, told(t, app, pid, &structpb.Struct{}), client.ErrUnavailable)
	app.Root.Send(pid, &structpb.Struct{})
	refused(t, told(t, app, pid, wrapperspb.String("")), client.ErrUnavailable)
	if len(k.room) != 0 {
		t.Errorf("%d calls are under way", len(k.room))
	}
}

// A sender that is deaf holds up nobody else, and what waits for it is bounded.
func TestActorWaitsForNoSender(t *testing.T) {
	app := application(t)
	behind := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*client.Query); ok {
			c.Respond(&client.Reply{})
		}
	}))
	hold := make(chan struct{})
	deaf := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(actor.SystemMessage); !ok {
			<-hold
		}
	}, actor.WithMailbox(actor.Bounded(4))))
	k := notebook.newClerk(app, behind, Mailing{})
	k.outbox.most = 200
	pid := app.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return k }))
	before := runtime.NumGoroutine()
	for range 2000 {
		app.Root.RequestWithCustomSender(pid, wrapperspb.String(""), deaf)
		app.Root.RequestWithCustomSender(pid, "no message", deaf)
	}
	if notes, ok := told(t, app, pid, wrapperspb.String("")).(*structpb.Struct); !ok {
		t.Error(notes)
	}
	if n := runtime.NumGoroutine() - before; n > 100 {
		t.Errorf("%d goroutines", n)
	}
	waiting := func() int {
		k.outbox.mu.Lock()
		defer k.outbox.mu.Unlock()
		return len(k.outbox.queues[address{deaf.Address, deaf.Id}])
	}
	if n := waiting(); n > 200 || n < 190 { // its mailbox has a few
		t.Errorf("%d replies wait", n)
	}
	close(hold)
	eventually(t, "it hears the rest", func() bool { return waiting() == 0 && len(k.room) == 0 })
}
