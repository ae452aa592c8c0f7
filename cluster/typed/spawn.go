package typed

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/client"
)

// Mailing is how the actor of a [Protocol.Spawn] mails what it is told.
type Mailing struct {
	// Group is empty for the first that the nodes started, or the one whose actor is asked.
	Group string
	// Read is how queries are read; linearizably, if it is not set.
	Read client.Read
	// Timeout is when there is an answer at the latest; 0: 5 seconds. The actor behind is given nine tenths of it.
	Timeout time.Duration
}

const (
	defaultTimeout = 5 * time.Second
	// mostCalls is how many messages wait for answers of the actor behind, whose own bound is below that, as a rule.
	mostCalls = 1 << 16
)

// Spawn starts an actor that takes plain messages of the application: commands and queries. It mails them to the actor behind it, that of a
// [client.Spawn] or of a group, in the order in which they come, and replies to the sender with a plain result or answer, or with an error,
// in the order in which the actor behind does. Where commands and queries are of one type, it takes them for commands. Without a sender
// there is no reply; otherwise the sender must be in this process. A message must not be changed after it was sent; a reply belongs to
// who gets it.
//
// The actor behind must be of the same actor system; it is not stopped with this one. The actor waits neither for it nor for senders. A
// sender that takes no replies has 8192 of them waiting for it at most, and gets no more. Messages that were mailed when the actor is
// stopped are still answered.
//
// Replied errors are those of the actor behind, and match the errors of package client: [client.ErrInvalid] also is for what is neither a
// command nor a query, [client.ErrOverloaded] for what is beyond the bound of the actor behind, or beyond 65536 messages. When the actor
// behind was stopped, messages get [client.ErrUnavailable]; commands that it had then get [client.ErrOutcomeUnknown], within the timeout.
// [ErrNoSuchMessage] says that the group's answer is not of this protocol; then a command took effect.
func (p Protocol[C, R, Q, A]) Spawn(system *actor.ActorSystem, behind *actor.PID, how Mailing) (*actor.PID, error) {
	if behind == nil {
		return nil, errors.New("there is no actor to mail to: a group has one if its node was started with cluster.WithActorSystem")
	}
	c := p.newClerk(system, behind, how)
	return system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return c })), nil
}

// clerk is the actor in front of another. It waits for nothing, and what it owns outlives a restart.
type clerk[C, R, Q, A proto.Message] struct {
	system *actor.ActorSystem
	behind *actor.PID
	how    Mailing
	// room has an element for each call.
	room   chan struct{}
	outbox *outbox
}

func (Protocol[C, R, Q, A]) newClerk(system *actor.ActorSystem, behind *actor.PID, how Mailing) *clerk[C, R, Q, A] {
	how.Timeout = cmp.Or(max(how.Timeout, 0), defaultTimeout)
	return &clerk[C, R, Q, A]{
		system: system,
		behind: actor.NewPID(behind.Address, behind.Id), // it may remember a process of another actor system
		how:    how,
		room:   make(chan struct{}, mostCalls),
		outbox: &outbox{root: system.Root, most: mostWaiting, queues: map[address][]letter{}},
	}
}

// Receive implements actor.Actor.
func (k *clerk[C, R, Q, A]) Receive(c actor.Context) {
	timeout := k.how.Timeout - k.how.Timeout/10
	switch m := c.Message().(type) {
	case C:
		if b, ok := k.encode(c, m); ok {
			mail := &client.Submit{Group: k.how.Group, Command: b, Timeout: timeout}
			k.mail(c, mail, opened(decodeResult[R]), client.ErrOutcomeUnknown)
		}
	case Q:
		if b, ok := k.encode(c, m); ok {
			mail := &client.Query{Group: k.how.Group, Read: k.how.Read, Query: b, Timeout: timeout}
			k.mail(c, mail, opened(decode[A]), client.ErrUnavailable)
		}
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.DeadLetterResponse:
	default:
		k.refuse(c, client.ErrInvalid, fmt.Errorf("this actor takes %T and %T, not %T", *new(C), *new(Q), m))
	}
}

func (k *clerk[C, R, Q, A]) encode(c actor.Context, m proto.Message) ([]byte, bool) {
	if !m.ProtoReflect().IsValid() {
		k.refuse(c, client.ErrInvalid, fmt.Errorf("the %T is nil", m))
		return nil, false
	}
	b, err := encode(m)
	if err != nil {
		k.refuse(c, client.ErrInvalid, err)
	}
	return b, err == nil
}

func (k *clerk[C, R, Q, A]) refuse(c actor.Context, kind, why error) {
	if c.Sender() != nil {
		k.outbox.put(c.Sender(), fmt.Errorf("%w: %w", kind, why))
	}
}

// mail sends on what was received. A call takes the answer.
func (k *clerk[C, R, Q, A]) mail(c actor.Context, mail any, open func(*client.Reply) any, late error) {
	if c.Sender() == nil {
		c.Send(k.behind, mail)
		return
	}
	select {
	case k.room <- struct{}{}:
		sender := c.Sender()
		answer := func(m any) {
			<-k.room
			k.outbox.put(sender, m)
		}
		call := newCall(k.system, k.how.Timeout, open, late, answer)
		c.RequestWithCustomSender(k.behind, mail, call.pid)
	default:
		k.refuse(c, client.ErrOverloaded, fmt.Errorf("%d messages wait for the actor behind", cap(k.room)))
	}
}

// opened makes what is in a reply a message to who asked.
func opened[M proto.Message](decode func([]byte) (M, error)) func(*client.Reply) any {
	return func(r *client.Reply) any {
		if r.Err != nil {
			return r.Err
		}
		m, err := decode(r.Value)
		if err != nil {
			return err
		}
		return m
	}
}
