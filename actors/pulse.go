package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// pulse speaks for the quiescent leaders of a node: once in a heartbeat interval it tells each other node which groups they lead. So a
// thousand groups that want nothing cost one message to each node, and its answer, and hardly any server's time. It also watches over the
// followers here that rest: none of them needs a timer of its own while its leader's pulse is heard.
type pulse struct {
	clock  Clock
	timing Timing
	quiet  *quietness
	lent   map[string]*lend // by group
	due    time.Time        // when the next beat is
}

type (
	// lend has the pulse speak for a leader until a time. Who is stuck does not lend again, and so does not go on leading.
	lend struct {
		server    *actor.PID
		says      *messages.Quiescent
		followers []string // addresses
		until     time.Time
	}
	// takeBack ends that: the leader speaks for itself.
	takeBack struct{ group string }
	// disturbed: a follower wants to hear the leader itself.
	disturbed struct{}
	// unheard: the pulse of a follower's leader was not heard for almost an election timeout.
	unheard struct{}
	// pulseDue wakes the pulse.
	pulseDue struct{}
)

// PulseName is what the actor is called on every node: other nodes mail to it.
const PulseName = "pulse"

// mostQuiescent is how many groups one message names.
const mostQuiescent = 4096

func startPulse(root *actor.RootContext, c SharedConfig, quiet *quietness, props ...actor.PropsOption) (*actor.PID, error) {
	p := &pulse{clock: c.Clock, timing: c.Timing, quiet: quiet, lent: map[string]*lend{}}
	return spawnShared(root, PulseName, p, c.Broken, props)
}

func (p *pulse) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		p.beatAgain(ctx)
	case *lend:
		p.lent[m.says.Group] = m
	case takeBack:
		delete(p.lent, m.group)
	case pulseDue:
		p.watch(ctx)
		p.beat(ctx)
		p.beatAgain(ctx)
	case *messages.Pulse:
		p.answer(ctx, m)
	case *messages.PulseReply:
		p.answered(ctx, m)
	}
}

func (p *pulse) beatAgain(ctx actor.Context) {
	p.due = p.clock.Now().Add(p.timing.Heartbeat)
	p.clock.After(p.timing.Heartbeat, ctx.Self(), pulseDue{})
}

// watch wakes the followers whose leaders are not heard, two beats before one of them may stand. A beat that comes much too late was not
// the only thing to wait: pulses may be in a socket.
func (p *pulse) watch(ctx actor.Context) {
	now := p.clock.Now()
	if now.Sub(p.due) > p.timing.Election/2 {
		return
	}
	for _, server := range p.quiet.overdue(now.Add(2*p.timing.Heartbeat - p.timing.Election)) {
		ctx.Send(server, unheard{})
	}
}

// beat speaks for the leaders.
func (p *pulse) beat(ctx actor.Context) {
	now := p.clock.Now()
	says := map[string][]*messages.Quiescent{}
	for _, group := range slices.Sorted(maps.Keys(p.lent)) {
		l := p.lent[group]
		if !now.Before(l.until) {
			delete(p.lent, group)
			continue
		}
		for _, address := range l.followers {
			says[address] = append(says[address], l.says)
		}
	}
	for _, address := range slices.Sorted(maps.Keys(says)) {
		for part := range slices.Chunk(says[address], mostQuiescent) {
			m := &messages.Pulse{Groups: part}
			m.Seal()
			ctx.Request(actor.NewPID(address, PulseName), m)
		}
	}
	p.quiet.keepNodes(says)
}

// answer says for the followers here which of them do not rest under these leaders.
func (p *pulse) answer(ctx actor.Context, m *messages.Pulse) {
	from := ctx.Sender()
	if from == nil || !m.Intact() {
		return
	}
	reply := &messages.PulseReply{Groups: p.quiet.hear(from.Address, m.Groups, p.clock.Now())}
	reply.Seal()
	ctx.Request(from, reply) // which tells whose it is
}

func (p *pulse) answered(ctx actor.Context, m *messages.PulseReply) {
	from := ctx.Sender()
	if from == nil || !m.Intact() {
		return
	}
	p.quiet.heardNode(from.Address, p.clock.Now())
	for _, g := range m.Groups {
		if l := p.lent[g.GetGroup()]; l != nil && l.says.Term == g.GetTerm() && slices.Contains(l.followers, from.Address) {
			delete(p.lent, g.GetGroup())
			ctx.Send(l.server, &disturbed{})
		}
	}
}
