package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/troupe-raft/troupe/actors"
)

// history is what clients asked and were told.
type history struct {
	operations []porcupine.Operation
	started    int
	completed  int
	last       time.Duration // when an operation was last completed
	open       map[*asked]bool
	// unanswered are the callers whom the actors still owe an answer, also those that do not wait for it any more.
	unanswered map[*asked]bool
	// requests are those for snapshots that have no answer.
	requests map[*request]bool
	quiet    bool // clients begin nothing new
}

// outcome is what a client learned.
type outcome struct {
	value    []byte
	rejected bool
	unknown  bool
}

// client does one operation at a time at the node that it takes for the leader.
type client struct {
	w     *world
	place int // of the node it asks
	group int
}

const (
	patience     = 2 * time.Second
	readPatience = 300 * time.Millisecond // giving up a read leaves nothing open
	staleReads   = 0.2                    // of all reads
	wander       = 0.1                    // of all operations are asked at any node: the leader may be another by now
)

func (w *world) startClients() {
	for i := range w.options.Clients {
		c := &client{w: w, place: w.rng.IntN(len(w.nodes)), group: i % w.options.Groups}
		w.after(w.between(0, 100*time.Millisecond), c.next)
	}
}

// asked is one operation under way; it is the caller at the door.
type asked struct {
	c           *client
	n           *node
	incarnation int
	number      int
	op          Operation
	called      time.Duration
	// given is the caller's memory. When it is answered, the caller may overwrite it.
	given []byte
	// stale asks for what the node has applied.
	stale bool
	// since is the index up to which a read must see: what was committed when it was asked. For a stale read: what the node had applied.
	since uint64
}

// end returns true once: to the answer or to giving up, whichever comes first.
func (a *asked) end() bool {
	open := a.c.w.history.open[a]
	delete(a.c.w.history.open, a)
	return open
}

func (c *client) next() {
	w := c.w
	if w.history.quiet {
		return
	}
	if w.chance(wander) {
		c.place = w.rng.IntN(len(w.nodes))
	}
	n := w.nodes[c.place]
	if !n.up || c.group >= len(n.doors) { // a paused node answers later, or never
		c.elsewhere(nil)
		return
	}
	a := &asked{
		c: c, n: n, incarnation: n.incarnation,
		number: w.history.started, op: w.machine.Next(w.rng, w.history.started), called: w.now,
	}
	w.history.started++
	w.history.open[a], w.history.unanswered[a] = true, true
	if a.op.Read {
		w.after(readPatience, a.giveUp)
	} else {
		w.after(patience, a.giveUp)
	}
	a.ask(n.doors[c.group])
}

func (a *asked) ask(door *actors.Door) {
	a.given = bytes.Clone(a.op.Input)
	switch {
	case !a.op.Read:
		door.Propose(a.given, a)
	case a.c.w.chance(staleReads):
		a.stale, a.since = true, a.n.machines[a.c.group].applied
		door.QueryStale(a.given, a)
	default:
		a.since = a.c.w.truth[a.c.group].lastCommand()
		door.Query(a.given, a)
	}
}

// elsewhere tries another node soon, the leader if it is known.
func (c *client) elsewhere(hint error) {
	w := c.w
	var notLeader *actors.NotLeaderError
	c.place = w.rng.IntN(len(w.nodes))
	if errors.As(hint, &notLeader) {
		for i, n := range w.nodes {
			if n.id == notLeader.LeaderID {
				c.place = i
			}
		}
	}
	w.after(w.between(time.Millisecond, 50*time.Millisecond), c.next)
}

// Answer is called by the actors.
func (a *asked) Answer(answer actors.Answer) {
	w := a.c.w
	if !w.history.unanswered[a] {
		w.fail("a caller is answered once", "%v: again, with %q %v", a, answer.Value, answer.Err)
	}
	delete(w.history.unanswered, a)
	overwrite(a.given)
	if !a.end() {
		return
	}
	var rejected *actors.RejectedError
	switch {
	case answer.Err == nil && a.stale:
		w.truth[a.c.group].model.checkStale(a, answer.Value)
		w.after(w.between(0, 120*time.Millisecond), a.c.next)
	case answer.Err == nil, errors.As(answer.Err, &rejected):
		if applied := a.n.machines[a.c.group].applied; a.op.Read && applied < a.since {
			w.fail("a read sees all that was committed when it was asked (section 8)",
				"%s had applied %d of %d%s", a, applied, a.since, w.describe())
		}
		w.history.completed++
		w.history.last = w.now
		a.record(outcome{value: bytes.Clone(answer.Value), rejected: rejected != nil})
		w.after(w.between(0, 120*time.Millisecond), a.c.next)
	case errors.Is(answer.Err, actors.ErrOutcomeUnknown):
		a.record(outcome{unknown: true})
		a.c.elsewhere(nil)
	default: // it did not and will not take effect
		a.c.elsewhere(answer.Err)
	}
}

// owed returns the first caller who has no answer yet, or nil.
func (h *history) owed(by func(*asked) bool) *asked {
	var first *asked
	for a := range h.unanswered {
		if by(a) && (first == nil || a.number < first.number) {
			first = a
		}
	}
	return first
}

// forgotten names a caller whom a running server has not answered.
func (h *history) forgotten() string {
	if a := h.owed(func(a *asked) bool { return a.n.incarnation == a.incarnation && a.n.up }); a != nil {
		return a.String()
	}
	if r := h.unansweredRequest(); r != nil {
		return "a request for a snapshot of " + r.n.id
	}
	return ""
}

func (a *asked) String() string {
	return fmt.Sprintf("%q, which %s was asked at %v", a.op.Input, a.n.id, a.called)
}

// giveUp leaves an operation open: it may still take effect.
func (a *asked) giveUp() {
	if a.end() {
		a.record(outcome{unknown: true})
		a.c.elsewhere(nil)
	}
}

func (a *asked) record(o outcome) {
	if o.unknown && a.op.Read {
		return
	}
	end := int64(a.c.w.now)
	if o.unknown {
		end = int64(1) << 62
	}
	h := &a.c.w.history
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: 0, Input: grouped{a.c.group, a.op}, Output: o, Call: int64(a.called), Return: end,
	})
}

// grouped is an operation of one group.
type grouped struct {
	group int
	op    Operation
}

// checkHistory checks that the operations took effect one at a time, each between its call and its answer.
func (w *world) checkHistory() {
	if w.failure != nil {
		return
	}
	for a := range w.history.open {
		a.record(outcome{unknown: true})
	}
	model := w.model()
	for _, part := range model.Partition(w.history.operations) {
		switch porcupine.CheckOperationsTimeout(model, part, time.Minute) {
		case porcupine.Illegal:
			w.fail("the clients' history is linearizable", "no order of these operations explains their answers:%s", describe(part))
		case porcupine.Unknown:
			w.fail("the clients' history can be checked within a minute", "the checker gave up at%s", describe(part))
		}
	}
}

func describe(operations []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range operations {
		in, out := o.Input.(grouped).op, o.Output.(outcome)
		fmt.Fprintf(&b, "\n%14v to %14v  %q", time.Duration(o.Call), time.Duration(o.Return), in.Input)
		switch {
		case out.unknown:
			b.WriteString(" unknown")
		case out.rejected:
			b.WriteString(" rejected")
		default:
			fmt.Fprintf(&b, " = %q", out.value)
		}
	}
	return b.String()
}

func (w *world) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			next, value, rejected := w.machine.Apply(state.(string), input.(grouped).op)
			o := output.(outcome)
			return o.unknown || o.rejected == rejected && bytes.Equal(o.value, value), next
		},
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			type part struct {
				group int
				name  string
			}
			place := map[part]int{}
			var parts [][]porcupine.Operation
			for _, o := range all {
				in := o.Input.(grouped)
				p := part{in.group, w.machine.partition(in.op)}
				i, known := place[p]
				if !known {
					i = len(parts)
					place[p] = i
					parts = append(parts, nil)
				}
				parts[i] = append(parts[i], o)
			}
			return parts
		},
	}
}
