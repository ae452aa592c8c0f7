package typed

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// mostWaiting is how many replies may wait for an actor whose mailbox is full.
const mostWaiting = 8192

// outbox sends what is put into it, in order for each receiver. A receiver whose mailbox is full holds up nobody else.
type outbox struct {
	root *actor.RootContext
	most int // for one receiver

	mu sync.Mutex
	// queues has those who are being sent to. Each has a goroutine.
	queues map[address][]letter
}

type address struct{ host, id string }

type letter struct {
	to      *actor.PID
	message any
}

func (o *outbox) put(to *actor.PID, message any) {
	at := address{to.Address, to.Id}
	o.mu.Lock()
	defer o.mu.Unlock()
	queue, sending := o.queues[at]
	if len(queue) >= o.most {
		return
	}
	o.queues[at] = append(queue, letter{to, message})
	if !sending {
		go o.send(at)
	}
}

func (o *outbox) send(at address) {
	for {
		l, ok := o.next(at)
		if !ok {
			return
		}
		o.root.Send(l.to, l.message)
	}
}

func (o *outbox) next(at address) (letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue := o.queues[at]
	if len(queue) == 0 {
		delete(o.queues, at)
		return letter{}, false
	}
	l := queue[0]
	queue[0] = letter{} // the array lives on
	o.queues[at] = queue[1:]
	return l, true
}
