package transport

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
)

const (
	envelopeBytes = 64   // what one message costs in a frame besides its own bytes, rounded up
	keptSlots     = 1024 // slots that a queue keeps after it was longer
)

// Mail is a message that the gate has admitted.
type mail struct {
	message        proto.Message
	kind           *wireType
	target, sender *actor.PID
	size           int // of the message, encoded
}

func (m mail) cost() int64 { return int64(m.size) + envelopeBytes }

// A queue is what waits for a link. It is busy from when something is put into it until the writer finds it empty, so that the
// writer is woken only once.
type queue struct {
	mu      sync.Mutex
	waiting []mail
	busy    bool
	ended   bool
	wake    chan struct{} // of one slot, which is free while the queue is not busy
	letter  letter        // the writer's
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

// send queues mail for which room was reserved, unless the link has ended. It does not wait: the lock is held for moments only.
func (l *link) send(m mail) bool {
	q := &l.queue
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		l.release([]mail{m})
		return false
	}
	q.waiting = append(q.waiting, m)
	wake := !q.busy
	q.busy = true
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
	return true
}

// take returns all that waits. The queue reuses the array of what was taken before. When nothing waits it is not busy any
// more.
func (q *queue) take(before []mail) (taken []mail, ended bool) {
	clear(before)
	if cap(before) > keptSlots {
		before = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	taken, q.waiting = q.waiting, before[:0]
	q.busy = len(taken) > 0
	return taken, q.ended
}

// end drops what waits.
func (q *queue) end(l *link) {
	q.mu.Lock()
	waiting, wake := q.waiting, !q.busy
	q.waiting, q.busy, q.ended = nil, true, true
	q.mu.Unlock()
	l.release(waiting)
	if wake {
		q.wake <- struct{}{}
	}
}

// write is the link's writer goroutine.
func (l *link) write() {
	var taken []mail
	for range l.queue.wake {
		for more := true; more; more = len(taken) > 0 {
			var ended bool
			if taken, ended = l.queue.take(taken); ended || !l.writeAll(taken) {
				return
			}
		}
	}
}

// writeAll writes mail in frames, and says whether it could.
func (l *link) writeAll(mails []mail) bool {
	for len(mails) > 0 {
		n, err := l.writeFrame(mails)
		if err != nil {
			l.release(mails)
			l.end(err)
			return false
		}
		l.release(mails[:n])
		mails = mails[n:]
	}
	return true
}

// writeFrame hands the first n messages to gRPC, in one frame.
func (l *link) writeFrame(mails []mail) (n int, err error) {
	c, f := &l.peer.transport.counters, &l.queue.letter
	n = f.write(mails)
	c.dropped[DropUnsendable].Add(uint64(n - f.envelopes))
	if f.envelopes == 0 {
		f.buffers.Free()
		return n, nil
	}
	l.sends.Add(1)
	err = l.ClientStream.SendMsg(f)
	l.sends.Add(1)
	if err != nil {
		return n, err
	}
	c.written.Add(uint64(f.envelopes))
	c.frames.Add(1)
	return n, nil
}
