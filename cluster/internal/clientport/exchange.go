package clientport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/protofields"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// exchange is one stream of calls. A goroutine of its own reads them and hands them to the doors of their groups; the handler's writes
// the answers, as many at a time as there are.
type exchange struct {
	all       *exchanges
	visit     *visit
	conn      connect.StreamingHandlerConn
	doors     doors
	wake      chan struct{} // there is something to send, or the reader has ended
	lightened chan struct{} // answers were sent

	// Of the reader alone: where commands are copied to, and the length of the message that it has.
	arena    protofields.Arena
	arriving int64

	mu       sync.Mutex
	calls    callList // those that nobody has answered
	underWay int      // also those whose answers are not being sent yet
	answers  []*call  // to be sent
	pong     uint64
	writing  bool
	waiting  bool        // the reader waits for room, and hears no pings
	life     *time.Timer // while it does
	alive    bool        // a sign of life is to be sent
	read     bool        // the reader has ended
	err      error       // why it did

	// weight is what calls under way, and the message that arrives, hold in memory; requests is the room for it. Likewise for answers.
	weight, valueBytes, valueRoom int64
	requests, values              hold

	// earliest is when the first call expires, in nanoseconds since 1970; 0: there is none.
	earliest atomic.Int64
}

var _ http.Handler = (*exchanges)(nil)

// newExchangeHandler serves the stream, whatever the node's groups are.
func newExchangeHandler(all *exchanges) (string, http.Handler) {
	const procedure = messagesconnect.GroupExchangeProcedure
	all.handler = connect.NewBidiStreamHandler(procedure, func(ctx context.Context, s *connect.BidiStream[frame, frame]) error {
		return all.serve(ctx, s.Conn())
	}, connect.WithCodec(frames{}), connect.WithCodec(jsonFrames{"json"}), connect.WithCodec(jsonFrames{"json; charset=utf-8"}),
		connect.WithCompression("gzip", nil, nil)) // batches of small commands are worth no processor time
	return procedure, all
}

// serve is the life of one stream.
func (e *exchanges) serve(ctx context.Context, conn connect.StreamingHandlerConn) error {
	v := ctx.Value(visitKey{}).(*visit)
	s := &exchange{
		all: e, visit: v, conn: conn, doors: doors{node: e.node}, wake: make(chan struct{}, 1), lightened: make(chan struct{}, 1),
		requests: v.holdOf(&v.conn.bodies), values: v.holdOf(&v.conn.answers),
	}
	if _, err := s.doors.find(nil); err != nil { // until a call names a group, the leader is that of the first
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	v.answer.hasRoom = true
	s.calls.init()
	v.stream.require = func(size int64) error {
		s.arriving = size
		return s.require(reading, size)
	}
	e.add(s)
	defer e.remove(s)
	s.rest()

	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s.readAll(reading)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.read, s.err = true, err
		s.signal()
	}()
	err := s.writeAll(ctx)
	stop() // it may wait for answers, which nobody sends any more
	_ = http.NewResponseController(v.w).SetReadDeadline(time.Unix(1, 0))
	<-done
	s.drop()
	return err
}

func (s *exchange) readAll(ctx context.Context) error {
	var message frame
	for {
		message = message.emptied()
		switch err := s.conn.Receive(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		s.visit.move()
		if err := s.take(ctx, message); err != nil {
			return err
		}
	}
}

var (
	errCredit    = errors.New("the stream has more calls without an answer than its credit: wait for answers")
	errMalformed = errors.New("the message is no ExchangeRequest")
)

// take hands over what is in a message.
func (s *exchange) take(ctx context.Context, message []byte) error {
	n, ping, ok := survey(message)
	if !ok {
		return connect.NewError(connect.CodeInvalidArgument, errMalformed)
	}
	s.mu.Lock()
	if s.underWay+n > s.all.credit {
		s.mu.Unlock()
		return connect.NewError(connect.CodeResourceExhausted, errCredit)
	}
	if ping != 0 {
		s.pong = ping
		s.signal()
	}
	s.mu.Unlock()
	if err := s.require(ctx, int64(n)*callBytes); err != nil {
		return err
	}
	defer s.lighten(s.arriving + int64(n)*callBytes) // the calls count from now on
	now := time.Now()
	var calls []call
	for rest := message; len(rest) > 0; {
		var f protofields.Field
		f, rest, _ = protofields.Next(rest)
		if f.Number != 1 || f.Bytes == nil {
			continue
		}
		if len(calls) == 0 {
			calls = make([]call, min(n, callsTogether))
		}
		c := &calls[0]
		calls, n = calls[1:], n-1
		c.stream = s
		s.start(c, f.Bytes, now)
	}
	return nil
}

// callsTogether is how many calls are allocated at a time: one that waits for long keeps so many in memory.
const callsTogether = 16

// writeAll sends what there is to be sent until the stream is over, and says why it is.
func (s *exchange) writeAll(ctx context.Context) error {
	var w writer
	leader := s.doors.current()
	changed := leader.Changed()
	if err := s.send(w.hello(s.all.credit, leader.Status().ClientAddress), 0, 0); err != nil {
		return err
	}
	for {
		if now := s.doors.current(); now != leader {
			leader, changed = now, now.Changed()
		}
		answers, pong, alive, over, err := s.takeAnswers(w.answers)
		w.answers, w.alive = answers, alive
		w.name(leader.Status().ClientAddress)
		w.pong(pong)
		if err := w.send(s); err != nil {
			return err
		}
		if over {
			return err
		}
		if len(answers) > 0 {
			continue
		}
		select {
		case <-s.wake:
		case <-changed:
			changed = leader.Changed()
		case <-s.all.stopping:
			if s.idle() {
				return RPCError(actors.ErrClosed)
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return RPCError(ctx.Err())
			}
		case <-ctx.Done():
			return RPCError(ctx.Err())
		}
	}
}

// takeAnswers empties what is to be sent. The stream is over when nothing more will come, or when it was broken.
func (s *exchange) takeAnswers(empty []*call) (answers []*call, pong uint64, alive, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(empty)
	answers, s.answers = s.answers, empty[:0]
	pong, s.pong, alive, s.alive = s.pong, 0, s.alive, false
	over = s.read && (s.err != nil || s.underWay == 0)
	return answers, pong, alive, over, s.err
}

func (s *exchange) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay == 0 && !s.writing
}

// signal wakes the writer. The mutex is held.
func (s *exchange) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send sends a message, which answers so many calls of that weight. They do not count as under way any more: their client may have the
// answers before this goroutine goes on.
func (s *exchange) send(message frame, calls int, weight int64) error {
	s.mu.Lock()
	s.writing = true
	s.underWay -= calls
	s.mu.Unlock()
	err := s.conn.Send(&message)
	s.mu.Lock()
	s.writing = false
	s.weight -= weight
	s.mu.Unlock()
	s.rest()
	s.giveBack()
	return err
}

// rest says whom the stream waits for while it sends nothing.
func (s *exchange) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.writing: // its client
	case s.underWay > 0, s.waiting:
		s.visit.enter(working)
	default:
		s.visit.pace.due.Store(0) // a client may have nothing to say for long
		s.visit.enter(receiving)
	}
}

// drop gives up the calls that are left. Their answers may still come.
func (s *exchange) drop() {
	s.mu.Lock()
	for c := s.calls.first(); c != nil; c = s.calls.first() {
		s.calls.remove(c)
		c.settle()
	}
	s.mu.Unlock()
	s.visit.limiter.bodies.keep(&s.requests, 0)
	s.visit.limiter.answers.keep(&s.values, 0)
}
