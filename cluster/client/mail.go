package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Submit asks an actor of [Spawn], or the actor of a group on a node, to do what [Client.Submit] does. The actor replies to the sender with
// a *[Reply]; without a sender there is none. The command must not be changed after it was sent.
type Submit struct {
	// Group is empty for the first that the nodes started, or the one whose actor is asked.
	Group   string
	Command []byte
	// Timeout is for the call; 0: 5 seconds, or what [Timeout] says of the client.
	Timeout time.Duration
}

// Query asks for what [Client.Query] does, as [Submit] does for a command.
type Query struct {
	Group   string
	Read    Read
	Query   []byte
	Timeout time.Duration
}

// Reply answers a [Submit] or a [Query]. The sender must be in this process: a Reply is not a protobuf message.
type Reply struct {
	// Index is the command's place in the log. A query's answer reflects the log up to there.
	Index uint64
	Value []byte
	// Err matches this package's errors with errors.Is.
	Err error
}

// Spawn starts an actor that has a client of its own, which ends with it. It takes *[Submit] and *[Query]. Many are under way at a time:
// they take effect and are answered in any order. What is beyond [MostCalls] is refused with [ErrOverloaded]; a sender that takes no
// replies has 64 refusals waiting for it at most. Calls that are under way when the actor is stopped are still answered.
func Spawn(system *actor.ActorSystem, endpoints []string, opts ...Option) (*actor.PID, error) {
	c := New(endpoints, opts...)
	if err := c.ready(); err != nil {
		c.Close()
		return nil, err
	}
	d := &desk{root: system.Root, client: c, slots: make(chan struct{}, cap(c.flight.slots)), refusing: map[string]int{}}
	return system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return d })), nil
}

// desk is the actor of a client. It waits for nothing, and what it owns outlives a restart.
type desk struct {
	root   *actor.RootContext
	client *Client
	// slots has an element for each call under way.
	slots chan struct{}

	mu       sync.Mutex
	refusing map[string]int // refusals under way, by sender
}

// mostRefusing is how many refusals may wait for a sender whose mailbox is full.
const mostRefusing = 64

func (d *desk) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *Submit:
		d.serve(c, m.Timeout, func(ctx context.Context) (Result, error) { return d.client.Submit(ctx, m.Group, m.Command) })
	case *Query:
		d.serve(c, m.Timeout, func(ctx context.Context) (Result, error) { return d.client.Query(ctx, m.Group, m.Read, m.Query) })
	case *actor.Stopped:
		go d.client.Close()
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.DeadLetterResponse:
	default:
		d.refuse(c.Sender(), invalid(fmt.Errorf("a client's actor takes *client.Submit and *client.Query, not %T", m)))
	}
}

// serve makes the call beside the mailbox, if there is room.
func (d *desk) serve(c actor.Context, timeout time.Duration, call func(context.Context) (Result, error)) {
	sender := c.Sender()
	select {
	case d.slots <- struct{}{}:
		go func() {
			ctx := context.Background()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			result, err := call(ctx)
			d.reply(sender, result, err)
			<-d.slots
		}()
	default:
		d.refuse(sender, ErrOverloaded)
	}
}

// refuse does not wait for a sender whose mailbox is full. Who sends ever more, and takes no replies, gets no more of them.
func (d *desk) refuse(sender *actor.PID, err error) {
	if sender == nil {
		return
	}
	key := sender.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refusing[key] == mostRefusing {
		return
	}
	d.refusing[key]++
	go func() {
		d.reply(sender, Result{}, err)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.refusing[key]--; d.refusing[key] == 0 {
			delete(d.refusing, key)
		}
	}()
}

func (d *desk) reply(to *actor.PID, r Result, err error) {
	if to != nil {
		d.root.Send(to, &Reply{Index: r.Index, Value: r.Value, Err: err})
	}
}
