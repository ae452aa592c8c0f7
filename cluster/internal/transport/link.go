package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
)

const (
	tick         = 100 * time.Millisecond
	stuckTicks   = 10   // ticks without progress after which a link is cut
	queueMessage = 8192 // messages that may wait for one peer
	linkLines    = 10   // lines of the log in a minute, for each peer
)

// A link is one established stream to a peer. Proto.Actor's endpoint writer holds it as its gRPC stream, but only dials: no
// messages pass through the writer. The handshake is over before the writer gets the link, so that it never sees a
// failed attempt (it would sleep for two seconds).
type link struct {
	grpc.ClientStream
	peer   *peer
	conn   *grpc.ClientConn
	cancel context.CancelFunc

	response *remote.RemoteMessage // the answer to the greeting, until the endpoint writer takes it

	queue                       queue
	queuedMessages, queuedBytes atomic.Int64  // reserved and not yet written
	sends                       atomic.Uint64 // odd while a frame is handed to gRPC
	closed                      atomic.Bool
	hooks                       sync.Mutex // OnDisconnect comes after OnConnect

	// Only the transport's ticker uses these.
	seenSends, seenWritten uint64
	idleTicks              int
}

// reserve counts a message into the queue, or says that there is no room. A frame is a part of the queue, so bounding the
// queue's bytes also keeps every frame below the peer's limit.
func (l *link) reserve(size int64) bool {
	if l.queuedBytes.Add(size) > l.peer.transport.maxQueue {
		l.queuedBytes.Add(-size)
		return false
	}
	if l.queuedMessages.Add(1) > queueMessage {
		l.queuedMessages.Add(-1)
		l.queuedBytes.Add(-size)
		return false
	}
	return true
}

// release counts messages out of the queue.
func (l *link) release(mails []mail) {
	size := int64(0)
	for _, m := range mails {
		size += m.cost()
	}
	l.queuedMessages.Add(-int64(len(mails)))
	l.queuedBytes.Add(-size)
}

// SendMsg swallows the endpoint writer's ConnectRequest, the only thing that it sends: the peer has it already.
func (l *link) SendMsg(any) error { return nil }

// RecvMsg first returns the peer's answer to the handshake. Whatever comes after it ends the link: with an error, and once,
// as the writer forgets to report an end of file, and a second report would take down the link's successor.
func (l *link) RecvMsg(m any) error {
	if r := l.response; r != nil {
		l.response = nil
		m.(*remote.RemoteMessage).MessageType = r.MessageType
		return nil
	}
	err := l.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		err = status.Error(codes.Unavailable, "the peer is leaving")
	}
	l.end(err)
	return err
}

// CloseSend is the writer's way to say that it stops.
func (l *link) CloseSend() error {
	l.end(errors.New("the endpoint writer stopped"))
	return nil
}

// end closes the link's connection; the first call counts.
func (l *link) end(why error) {
	if !l.closed.CompareAndSwap(false, true) {
		return
	}
	p, t := l.peer, l.peer.transport
	p.link.CompareAndSwap(l, nil)
	p.fail(why)
	l.cancel()
	_ = l.conn.Close()
	l.queue.end(l)
	t.counters.disconnects.Add(1)
	p.tell("the connection to a peer ended", slog.String("reason", hush.Clip(why.Error())))
	if f := t.config.OnDisconnect; f != nil {
		l.hooks.Lock()
		defer l.hooks.Unlock()
		f(p.address)
	}
}

// begin opens the gate to this link.
func (l *link) begin() {
	p, t := l.peer, l.peer.transport
	p.connected.Store(time.Now().UnixNano())
	go l.write()
	t.counters.connects.Add(1)
	p.worry.end()
	p.tell("connected to a peer")
	l.hooks.Lock()
	p.link.Store(l)
	if f := t.config.OnConnect; f != nil {
		f(p.address)
	}
	l.hooks.Unlock()
}

// tell logs that a link to the peer began or ended, a few times a minute at most.
func (p *peer) tell(what string, more ...any) {
	if p.quiet.Allow("links", linkLines) {
		p.transport.logger.Info(what, append([]any{slog.String("peer", p.address)}, more...)...)
	}
}

// tick cuts a link whose queue does not move: the peer has stopped reading. It counts ticks rather than
// time, so that a pause of this very process is no reason. A slow connection that still takes bytes makes progress.
func (l *link) tick() {
	sends, written := l.sends.Load(), l.peer.written.Load()
	if sends != l.seenSends || written != l.seenWritten || sends%2 == 0 && l.queuedMessages.Load() == 0 {
		l.seenSends, l.seenWritten, l.idleTicks = sends, written, 0
		return
	}
	if l.idleTicks++; l.idleTicks >= stuckTicks {
		l.end(fmt.Errorf("%d messages are waiting and nothing was written for %v", l.queuedMessages.Load(), stuckTicks*tick))
	}
}
