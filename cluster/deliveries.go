package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// deliveries bring a courier's answers and commands where they belong, in the order in which they were settled and got their places: an
// actor has the answers of commands that were neither refused nor repeated in their order. One goroutine at a time delivers, for all who
// come meanwhile: those queue what they have, and nobody waits. It is safe for concurrent use.
type deliveries struct {
	running atomic.Bool
	// queued is how many parcels are in the queue; commands is how many commands of parcels are not with the door yet.
	queued, commands atomic.Int64

	mu    sync.Mutex
	queue []parcel
}

// parcel is what is delivered together: commands, then the callers of settled errands, then commands.
type parcel struct {
	first   []delivery
	settled *errand
	ready   []delivery
}

// delivery is a command with its place in the session.
type delivery struct {
	errand *errand
	place  messages.SessionCommand
}

// turn is whose turn it is to deliver a parcel.
type turn uint8

const (
	free   turn = iota // anybody's: only commands, and none is behind
	mine               // of whoever brought it
	others             // of whoever delivers: it was queued
	next               // of whoever brought it, behind what is queued
)

// comes takes note of a parcel. The courier is locked, which gives the order.
func (d *deliveries) comes(p parcel) turn {
	commands := int64(len(p.first) + len(p.ready))
	if p.settled == nil && d.commands.Load() == 0 && len(p.ready) == 0 {
		return free
	}
	d.commands.Add(commands)
	runs := d.running.CompareAndSwap(false, true)
	if runs && d.queued.Load() == 0 {
		return mine
	}
	d.mu.Lock()
	d.queue = append(d.queue, p)
	d.queued.Add(1)
	d.mu.Unlock()
	if runs {
		return next
	}
	return others
}

// deliver delivers a parcel, or what is queued, if nobody else does.
func (d *deliveries) deliver(t turn, p parcel, door *actors.Door) {
	switch t {
	case free:
		send(p.first, door)
		return
	case mine:
		d.bring(p, door)
	}
	for runs := t != others; runs || d.queued.Load() > 0 && d.running.CompareAndSwap(false, true); runs = false {
		for d.queued.Load() > 0 {
			d.bring(d.take(), door)
		}
		d.running.Store(false)
	}
}

func (d *deliveries) take() (p parcel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, d.queue[0] = d.queue[0], parcel{}
	if d.queue = d.queue[1:]; len(d.queue) == 0 {
		d.queue = nil
	}
	d.queued.Add(-1)
	return p
}

func (d *deliveries) bring(p parcel, door *actors.Door) {
	send(p.first, door)
	for e := p.settled; e != nil; {
		told := e
		e, e.next = e.next, nil
		told.caller.Answer(told.answer) // who may use it again at once
	}
	send(p.ready, door)
	d.commands.Add(-int64(len(p.first) + len(p.ready)))
}

func send(all []delivery, door *actors.Door) {
	for _, one := range all {
		door.ProposeIn(one.place, one.errand.data, one.errand)
	}
}
