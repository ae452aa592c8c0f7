package simulation

import (
	"errors"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// client is one of a group. Most have a session, so that they may ask for a command again until they know what became of it; the others
// send each command once.
type client struct {
	w       *world
	group   int
	session *actors.ClientSession // nil: none
	// lazy: the client says nothing of the answers that it has, as long as it may.
	lazy bool
	// told is the highest index that the client was told of.
	told uint64
}

// hand does one operation at a time. It asks the node that it takes for the leader, or for one that knows it.
type hand struct {
	*client
	at int // the place of the node that it asks
}

// operation is what a hand does.
type operation struct {
	*hand
	Operation
	called time.Duration
	// commands: the session may be another than the client's by now.
	session *actors.ClientSession
	command actors.ClientCommand
	place   messages.SessionCommand // of the last copy
	// first is what the first copy was answered that took effect; nil: none was.
	first *outcome
}

const (
	patience        = 2 * time.Second
	sessionPatience = 4 * time.Second
	readPatience    = 300 * time.Millisecond // giving up a read leaves nothing open
	sessionless     = 0.3                    // of all clients
	wander          = 0.1                    // of all operations are asked at any node: the leader may be another by now
	leaves          = 0.03                   // of all commands are the last in their session
	overreaches     = 0.01                   // of all commands in sessions are followed by one that is too far ahead
	late            = 0.15                   // of all commands in sessions come again when they were answered
)

func (w *world) startClients() {
	for g := range w.truth {
		w.truth[g].tallies = map[uint64]*tally{}
	}
	for i := range w.options.Clients {
		c := &client{w: w, group: i % w.options.Groups}
		hands := 1
		if !w.chance(sessionless) {
			c.session, c.lazy = actors.NewClientSession(w.rng.Uint64), w.chance(0.4)
			hands += w.rng.IntN(2)
		}
		for range hands {
			h := &hand{c, w.rng.IntN(len(w.nodes))}
			w.after(w.between(0, 100*time.Millisecond), h.next)
		}
	}
}

// node is the one that the hand asks; nil when it is down. One that is paused answers later, or never.
func (h *hand) node() *node {
	if n := h.w.nodes[h.at]; n.up && h.group < len(n.doors) {
		return n
	}
	return nil
}

func (h *hand) next() {
	w := h.w
	if w.history.quiet {
		return
	}
	if lull := w.truth[h.group].lull; w.chaos && w.now < lull {
		w.after(lull-w.now+w.between(0, 120*time.Millisecond), h.next)
		return
	}
	if w.chance(wander) {
		h.at = w.rng.IntN(len(w.nodes))
	}
	n := h.node()
	if n == nil {
		h.elsewhere(nil, h.next)
		return
	}
	o := &operation{hand: h, Operation: w.machine.Next(w.rng, w.history.started), called: w.now}
	w.history.started++
	w.history.open[o] = true
	switch {
	case o.Read:
		w.after(readPatience, o.giveUp)
		o.read(n)
	case h.client.session == nil:
		o.tally().asked++
		w.after(patience, o.giveUp)
		o.propose(n)
	default:
		o.tally().asked++
		o.session = h.client.session
		w.after(w.between(sessionPatience/8, sessionPatience), o.giveUp)
		o.send()
	}
}

func (h *hand) soon() { h.w.after(h.w.between(0, 120*time.Millisecond), h.next) }

// elsewhere goes on at another node soon, at the leader if it is known.
func (h *hand) elsewhere(hint error, then func()) {
	w := h.w
	var notLeader *actors.NotLeaderError
	h.at = w.rng.IntN(len(w.nodes))
	if errors.As(hint, &notLeader) {
		for i, n := range w.nodes {
			if n.id == notLeader.LeaderID {
				h.at = i
			}
		}
	}
	w.after(w.between(time.Millisecond, 50*time.Millisecond), then)
}

// end returns true once: to the answer or to giving up, whichever comes first.
func (o *operation) end() bool {
	open := o.w.history.open[o]
	delete(o.w.history.open, o)
	return open
}

// done ends an operation that was done.
func (o *operation) done(got outcome) {
	o.w.history.completed++
	o.w.history.last = o.w.now
	o.record(got)
	o.soon()
}

// giveUp leaves an operation open: it may still take effect, unless all that was sent of it was refused.
func (o *operation) giveUp() {
	if !o.end() {
		return
	}
	switch {
	case o.Read:
	case o.session != nil && !o.session.GiveUp(&o.command):
		o.tally().refused++
	default:
		o.record(outcome{unknown: true})
	}
	o.elsewhere(nil, o.next)
}

// propose sends a command once.
func (o *operation) propose(n *node) {
	a := o.w.ask(n, o.group, string(o.Input), o.Input, func(a actors.Answer) {
		got, fate := outcomeOf(a)
		switch fate {
		case actors.CopyAnswered:
			o.tally().answered++
		case actors.CopyRefused, actors.CopyHomeless:
			o.tally().refused++
		}
		if !o.end() {
			return
		}
		switch fate {
		case actors.CopyAnswered:
			o.told = max(o.told, a.Index)
			o.done(got)
		case actors.CopyLost:
			o.record(outcome{unknown: true})
			o.elsewhere(nil, o.next)
		default: // it did not and will not take effect
			o.elsewhere(a.Err, o.next)
		}
	})
	n.doors[o.group].Propose(a.given, a)
}
