package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

// A group's actor does what the actor of a client is asked for, and its errors are those of both packages.
func TestGroupActorTakesMailOfClients(t *testing.T) {
	if !alone(t) {
		return
	}
	app := newApp(t)
	release := make(chan struct{})
	_, group := single(t, t.TempDir(), echo{release}, cluster.WithActorSystem(app))
	eventually(t, "the node leads", func() bool { return leads(group) })
	ask := func(message any) *client.Reply { return asked(t, app, group, message) }
	written := ask(&client.Submit{Command: []byte("a")})
	if written.Err != nil || string(written.Value) != "a" || written.Index == 0 {
		t.Fatal(written)
	}
	for _, c := range []actors.Consistency{actors.Linearizable, actors.Lease, actors.Bounded, actors.Stale} {
		how := client.Read{Consistency: c, MaxStaleness: time.Second, MinIndex: written.Index}
		r := ask(&client.Query{Group: "kv", Read: how, Query: []byte("q")})
		if r.Err != nil || string(r.Value) != "q" || r.Index < written.Index {
			t.Fatal(r)
		}
	}
	for _, wrong := range []struct {
		mail any
		want []error
	}{
		{&client.Submit{Command: []byte("no")}, []error{client.ErrRejected, client.ErrInvalid}},
		{&client.Submit{Command: make([]byte, 2<<20+1)}, []error{client.ErrInvalid, actors.ErrTooLarge}},
		{&client.Submit{Group: "other", Command: []byte("a")}, []error{client.ErrInvalid}},
		{&client.Query{Read: client.Read{Consistency: 77}}, []error{client.ErrInvalid}},
		{&client.Query{Group: "other"}, []error{client.ErrInvalid}},
		{
			&client.Query{Read: client.Read{MinIndex: 1 << 60}, Timeout: 20 * time.Millisecond},
			[]error{client.ErrUnavailable, context.DeadlineExceeded},
		},
	} {
		for _, want := range wrong.want {
			if r := ask(wrong.mail); !errors.Is(r.Err, want) {
				t.Errorf("%T: %v is not %v", wrong.mail, r.Err, want)
			}
		}
	}

	// The state machine hangs: the time of the mail is over, and nobody knows what will be.
	r := ask(&client.Submit{Command: []byte("slow"), Timeout: 50 * time.Millisecond})
	if !errors.Is(r.Err, client.ErrOutcomeUnknown) || !errors.Is(r.Err, actors.ErrOutcomeUnknown) {
		t.Error(r.Err)
	}
	if r := ask(&client.Query{Timeout: 50 * time.Millisecond}); !errors.Is(r.Err, client.ErrUnavailable) {
		t.Error(r.Err)
	}
	close(release)
	if r := ask(&client.Submit{Command: []byte("b")}); r.Err != nil || string(r.Value) != "b" {
		t.Error(r)
	}
}

// Mail beyond the group's bound is refused at once, and the actor goes on when there is room.
func TestGroupActorRefusesMailBeyondItsBound(t *testing.T) {
	if !alone(t) {
		return
	}
	app := newApp(t)
	release := make(chan struct{})
	bounded := func(c *cluster.Config) { c.Limits.AdmittedCommands = 4 }
	_, group := singleAs(t, t.TempDir(), echo{release}, bounded, cluster.WithActorSystem(app))
	eventually(t, "the node leads", func() bool { return leads(group) })
	if r := asked(t, app, group, &client.Submit{Command: []byte("a")}); r.Err != nil { // a session is open
		t.Fatal(r.Err)
	}
	replies := make(chan *client.Reply, 100)
	me := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if r, ok := c.Message().(*client.Reply); ok {
			replies <- r
		}
	}))
	send := func(mail any) { app.Root.RequestWithCustomSender(group.PID(), mail, me) }
	for range 10 {
		send(&client.Submit{Command: []byte("slow")})
	}
	send(&client.Query{})
	for range 7 {
		if r := <-replies; !errors.Is(r.Err, client.ErrOverloaded) || !errors.Is(r.Err, actors.ErrOverloaded) {
			t.Error(r)
		}
	}
	close(release)
	for range 4 {
		if r := <-replies; r.Err != nil || r.Index == 0 {
			t.Error(r)
		}
	}
	if r := asked(t, app, group, &client.Submit{Command: []byte("b")}); r.Err != nil {
		t.Error(r.Err)
	}
}
