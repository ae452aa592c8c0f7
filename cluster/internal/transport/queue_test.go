package transport

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// A fakeStream decodes what is sent. It takes nothing before it is opened, and fails when it is cancelled.
type fakeStream struct {
	grpc.ClientStream
	t         *testing.T
	open, end chan struct{}
	mu        sync.Mutex
	rounds    map[string][]uint64 // by the group of their header
}

func (s *fakeStream) SendMsg(m any) error {
	select {
	case <-s.end:
		return errors.New("cancelled")
	case <-s.open:
	}
	buffers, err := newLetterCodec().Marshal(m)
	if err != nil {
		return err
	}
	defer buffers.Free()
	var f frame
	if err := f.decode(buffers.Materialize(), newTypeSet(testTypes)); err != nil {
		s.t.Error(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range f.batch.Envelopes {
		v := new(messages.RequestVote)
		if err := proto.Unmarshal(e.MessageData, v); err != nil {
			s.t.Error(err)
		}
		s.rounds[v.Header.Group] = append(s.rounds[v.Header.Group], v.Round)
	}
	return nil
}

func fakeLink(t *testing.T) (*peer, *link, *fakeStream) {
	p, _ := openGate()
	p.transport.logger = slog.New(slog.DiscardHandler)
	conn, err := grpc.NewClient("127.0.0.1:9", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeStream{t: t, open: make(chan struct{}), end: make(chan struct{}), rounds: map[string][]uint64{}}
	l := &link{peer: p, queue: newQueue(), ClientStream: s, conn: conn, cancel: sync.OnceFunc(func() { close(s.end) })}
	l.begin()
	t.Cleanup(func() { l.end(errors.New("the test is over")) })
	return p, l, s
}

func vote(p *peer, group string, round int) {
	p.SendUserMessage(actor.NewPID("b:1", "raft/g"), &messages.RequestVote{Header: &messages.Header{Group: group}, Round: uint64(round)})
}

// What each sender sends arrives in its order and whole; the queue is empty afterwards.
func TestTheWriterKeepsTheOrder(t *testing.T) {
	p, l, s := fakeLink(t)
	close(s.open)
	const each = 3000
	groups := []string{"a", "b", "c", "d"}
	var all sync.WaitGroup
	for _, g := range groups {
		all.Go(func() {
			for i := range each {
				vote(p, g, i)
				for i%500 == 0 && l.queuedMessages.Load() > queueMessage/2 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	eventually(t, 5*time.Second, "the queue is empty", func() bool { return l.queuedMessages.Load() == 0 && l.queuedBytes.Load() == 0 })
	for _, g := range groups {
		if len(s.rounds[g]) != each {
			t.Errorf("%d messages of %s were written, want %d", len(s.rounds[g]), g, each)
		}
		for i, r := range s.rounds[g] {
			if r != uint64(i) {
				t.Fatalf("message %d of %s is number %d", i, g, r)
			}
		}
	}
	c := &p.transport.counters
	if n := c.written.Load(); n != uint64(len(groups)*each) || c.dropped[DropQueueFull].Load() != 0 ||
		c.sent.Load() != n || c.frames.Load() > n {
		t.Errorf("%d sent, %d written in %d frames", c.sent.Load(), n, c.frames.Load())
	}
}

// A stuck stream blocks no sender. When its link ends, what waits and what comes later is dropped and counted out.
func TestALinkEndsWithMailInTheQueue(t *testing.T) {
	for _, ending := range []string{"from outside", "by the stream"} {
		p, l, s := fakeLink(t)
		for i := range 1000 {
			vote(p, "g", i)
		}
		eventually(t, time.Second, "the writer is in SendMsg", func() bool { return l.sends.Load() == 1 })
		if n := l.queuedMessages.Load(); n != 1000 {
			t.Errorf("%d messages wait", n)
		}
		if ending == "from outside" {
			l.end(errors.New("somebody wants it"))
		} else {
			l.cancel()
		}
		eventually(t, time.Second, "all is counted out: ended "+ending, func() bool {
			return l.queuedMessages.Load() == 0 && l.queuedBytes.Load() == 0
		})
		eventually(t, time.Second, "the gate is closed", func() bool { return p.link.Load() == nil })
		p.link.Store(l) // as a sender saw it a moment ago
		vote(p, "g", 1000)
		if c := &p.transport.counters; c.dropped[DropUnknownPeer].Load() != 1 || c.sent.Load() != 1000 || c.written.Load() != 0 {
			t.Errorf("%d dropped, %d sent, %d written", c.dropped[DropUnknownPeer].Load(), c.sent.Load(), c.written.Load())
		}
		if l.queuedMessages.Load() != 0 || l.queuedBytes.Load() != 0 || len(s.rounds) != 0 {
			t.Error("mail for an ended link is in the queue")
		}
		p.link.Store(nil)
	}
}

// A link that ends while nothing waits ends its writer.
func TestTheWriterEndsWithTheLink(t *testing.T) {
	_, l, _ := fakeLink(t)
	l.end(errors.New("somebody wants it"))
	eventually(t, time.Second, "the writer is gone", func() bool { return len(l.queue.wake) == 0 })
	l.end(errors.New("again"))
}
