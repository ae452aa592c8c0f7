package simulation

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// mailboxBound is several times the mail that waits for a node after a pause of seconds, with the default clients.
const mailboxBound = 1000

// mailbox runs one message when the schedule says so.
type mailbox struct {
	s           *schedule
	n           *node
	incarnation int
	number      uint64
	place       int // among the node's
	system      []any
	user        []any
	suspended   bool
	queued      bool
	// Nothing is run from starvedFrom until starvedTo.
	starvedFrom, starvedTo time.Duration
	invoker                actor.MessageInvoker
}

func (m *mailbox) PostUserMessage(message any) {
	m.user = append(m.user, message)
	if len(m.user) > mailboxBound {
		m.n.w.fail("no mailbox grows beyond what can be on its way",
			"%d messages wait for %s, the last is a %s", len(m.user), m.n.id, typeOf(message))
	}
	m.s.enqueue(m)
}

func (m *mailbox) PostSystemMessage(message any) {
	m.system = append(m.system, message)
	m.s.enqueue(m)
}

func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	m.invoker = invoker
}
func (m *mailbox) Start()                {}
func (m *mailbox) UserMessageCount() int { return len(m.user) }

func (m *mailbox) runnable() bool {
	if m.n.incarnation != m.incarnation || m.n.paused || m.s.now < m.starvedTo {
		return false
	}
	return len(m.system) > 0 || len(m.user) > 0 && !m.suspended
}

// starve keeps an actor from running for a while, as a busy scheduler may.
func (m *mailbox) starve(d time.Duration) {
	m.starvedFrom, m.starvedTo = m.s.now, m.s.now+d
	m.s.after(d, func() { m.s.enqueue(m) })
}

// feed lets all actors of a node run again.
func (n *node) feed() {
	for _, m := range n.boxes {
		m.starvedTo = min(m.starvedTo, n.w.now)
		m.s.enqueue(m)
	}
}

// hindered is the last time at which the node, or one of its actors, was kept from running.
func (n *node) hindered() time.Duration {
	last := n.resumed
	for _, m := range n.boxes {
		last = max(last, min(m.starvedTo, n.w.now))
	}
	return last
}

// starving is how long the actor has been kept from running.
func (m *mailbox) starving() time.Duration {
	if m.s.now < m.starvedTo {
		return m.s.now - m.starvedFrom
	}
	return 0
}

// run handles one message, as Proto.Actor's own mailbox does.
func (m *mailbox) run(t *trace) {
	if !m.runnable() {
		return // of a node that was killed or paused meanwhile
	}
	var message any
	defer func() {
		if reason := recover(); reason != nil {
			if fmt.Sprint(reason) != injectedPanic {
				m.n.w.fail("no actor panics", "%s: %v\n%s", m.n.id, reason, debug.Stack())
			}
			m.invoker.EscalateFailure(reason, message)
		}
	}()
	if len(m.system) > 0 {
		message, m.system = take(m.system)
		m.n.w.handled(t, m, message)
		switch message.(type) {
		case *actor.SuspendMailbox:
			m.suspended = true
		case *actor.ResumeMailbox:
			m.suspended = false
		default:
			m.invoker.InvokeSystemMessage(message)
		}
		return
	}
	message, m.user = take(m.user)
	m.n.w.handled(t, m, message)
	m.panicIf(before)
	m.invoker.InvokeUserMessage(message)
	m.panicIf(after)
}

// moment is when an actor panics.
type moment int

const (
	never moment = iota
	before
	after
)

// panicIf panics once, if the node's actors are to panic at this moment. Those that groups share do not: they belong to no group.
func (m *mailbox) panicIf(now moment) {
	if n := m.n; n.panics == now && n.incarnation == m.incarnation && m.place >= len(n.shared.PIDs()) {
		n.panics = never
		n.panic(ActorPanic)
	}
}

func take(queue []any) (any, []any) {
	first := queue[0]
	queue[0] = nil
	if len(queue) == 1 {
		return first, queue[:0]
	}
	return first, queue[1:]
}

// typeOf names what an envelope holds.
func typeOf(message any) string {
	_, m, _ := actor.UnwrapEnvelope(message)
	if m == nil {
		m = message
	}
	return reflect.TypeOf(m).String()
}
