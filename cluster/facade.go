package cluster

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
)

// Propose asks [Group.PID] to do what [Group.Propose] does. Without a sender there is no reply. The command must not be changed
// after it was sent.
type Propose struct{ Command []byte }

// Read asks [Group.PID] to do what [Group.Read] does.
type Read struct{ Query []byte }

// Reply answers a [Propose] or [Read], with the error that [Group.Propose] or [Group.Read] would return, and mail of a client.
type Reply = client.Reply

// facade is a group's actor in the application's actor system. It owns nothing, so it may be restarted, and waits for nothing but its
// group's start.
type facade struct {
	root  *actor.RootContext
	group *Group
}

// answered takes an answer back through the facade's own mailbox, which is unbounded: Raft's actors must not wait for an
// application's actor whose mailbox is full.
type answered struct {
	sender *actor.PID
	reply  *Reply
}

func facadeName(group string) string { return "troupe/" + group }

func spawnFacade(app *actor.ActorSystem, g *Group) (*actor.PID, error) {
	props := actor.PropsFromProducer(func() actor.Actor { return &facade{app.Root, g} })
	pid, err := app.Root.SpawnNamed(props, facadeName(g.name))
	if err != nil {
		return nil, fmt.Errorf("the application's actor system has an actor %s already: "+
			"give every node its own actor system (%w)", facadeName(g.name), err)
	}
	return pid, nil
}

func (f *facade) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		f.group.awaitLaunch()
	case *Propose:
		f.send(f.caller(c), errand{data: m.Command})
	case *Read:
		f.send(f.caller(c), errand{data: m.Query, read: &actors.Read{}})
	case *client.Submit:
		f.submit(c, m)
	case *client.Query:
		f.query(c, m)
	case *answered:
		c.Send(m.sender, m.reply)
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.DeadLetterResponse:
	default:
		if c.Sender() != nil {
			c.Send(c.Sender(), &Reply{Err: fmt.Errorf(
				"a group takes *cluster.Propose, *cluster.Read, *client.Submit and *client.Query, not %T", m)})
		}
	}
}

func (f *facade) caller(c actor.Context) *facadeCaller {
	return &facadeCaller{root: f.root, facade: c.Self(), sender: c.Sender()}
}

// send sends an errand. Mail cannot be given up: after the time of a call it is not tried again.
func (f *facade) send(caller actors.Caller, e errand) {
	e.courier, e.until, e.caller = f.group.courier, time.Now().Add(defaultTimeout), caller
	e.send()
}

type facadeCaller struct {
	root           *actor.RootContext
	facade, sender *actor.PID
}

// Answer implements actors.Caller.
func (f *facadeCaller) Answer(a actors.Answer) {
	if f.sender != nil {
		f.root.Send(f.facade, &answered{f.sender, &Reply{Index: a.Index, Value: a.Value, Err: a.Err}})
	}
}
