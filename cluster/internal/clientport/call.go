package clientport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// call is one call of an exchange, from its arrival until its answer is sent.
type call struct {
	stream     *exchange
	prev, next *call // among those that nobody has answered
	id         uint64
	kind       callKind
	settled    bool // it has its answer, or nobody waits for one
	deadline   int64
	weight     int64
	answer     actors.Answer
	wait       *indexWait // nil: it waits for no index
}

// callKind is the number of the field that a call is in.
type callKind uint8

const (
	openCall   callKind = 2
	closeCall  callKind = 3
	submitCall callKind = 4
	queryCall  callKind = 5
)

// indexWait is a query that waits until an index is applied.
type indexWait struct {
	door  Door
	index uint64
	over  chan struct{}
}

const (
	// callBytes is about what a call takes in memory, besides its command or query.
	callBytes = 256
	// callTime is how long a call waits that does not say so, and mostCallTime the longest.
	callTime     = 5 * time.Second
	mostCallTime = time.Minute
)

var _ actors.Caller = (*call)(nil)

// Answer implements [actors.Caller].
func (c *call) Answer(a actors.Answer) {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	c.stream.tell(c, a)
}

// tell gives a call its answer. The first one counts. The mutex is held.
func (s *exchange) tell(c *call, a actors.Answer) {
	if c.settled {
		return
	}
	s.calls.remove(c)
	c.settle()
	if len(a.Value) > 0 && !s.keepValue(len(a.Value)) {
		a = actors.Answer{Err: errValue}
		if c.kind != queryCall {
			a.Err = fmt.Errorf("%w (%w)", actors.ErrOutcomeUnknown, errValue)
		}
	}
	c.answer = a
	if s.answers = append(s.answers, c); len(s.answers) == 1 {
		s.signal()
	}
}

var errValue = &overload{"the node is overloaded: the answer found no room beside those that this client has not read; try again"}

func (c *call) settle() {
	c.settled = true
	if c.wait != nil {
		close(c.wait.over)
	}
}

// start hands a call to the door of its group.
func (s *exchange) start(c *call, encoded []byte, now time.Time) {
	r, err := decodeCall(encoded, &s.arena)
	c.id, c.kind, c.weight = r.id, r.kind, callBytes+int64(len(r.data))
	timeout := callTime
	if r.timeoutMs != 0 {
		timeout = min(time.Duration(r.timeoutMs)*time.Millisecond, mostCallTime)
	}
	c.deadline = now.Add(timeout).UnixNano()
	var door Door
	if err == nil {
		door, err = s.doors.find(r.group)
	}
	if err == nil && r.kind == queryCall && r.minIndex > door.Status().AppliedIndex {
		c.wait = &indexWait{door, r.minIndex, make(chan struct{})}
	}
	s.mu.Lock()
	s.add(c)
	if err != nil {
		s.tell(c, actors.Answer{Err: err})
	}
	s.mu.Unlock()
	switch {
	case err != nil:
	case c.wait != nil:
		c.waitForIndex(r)
	case c.kind == queryCall:
		door.Read(r.read, r.data, c)
	case c.kind == submitCall:
		door.ProposeIn(r.session, r.data, c)
	case c.kind == openCall:
		door.OpenSession(r.nonce, c)
	default:
		door.CloseSession(r.session.Session, c)
	}
}

// add counts a call as under way. The mutex is held.
func (s *exchange) add(c *call) {
	s.calls.append(c)
	s.weight += c.weight
	if s.underWay++; s.underWay == 1 && !s.writing {
		s.visit.enter(working)
	}
	if earliest := s.earliest.Load(); earliest == 0 || c.deadline < earliest {
		s.earliest.Store(c.deadline)
	}
}

// waitForIndex asks the door later, on a goroutine of its own.
func (c *call) waitForIndex(r request) {
	wait := c.wait
	applied, giveUp, err := wait.door.Applied(wait.index)
	if err != nil {
		c.Answer(actors.Answer{Err: err})
		return
	}
	go func() {
		defer giveUp()
		select {
		case <-applied:
			wait.door.Read(r.read, r.data, c)
		case <-wait.over:
		}
	}()
}

// expire answers the calls that waited until now.
func (s *exchange) expire(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var earliest int64
	for c := s.calls.first(); c != nil; {
		next := s.calls.after(c)
		if c.deadline <= now {
			s.tell(c, actors.Answer{Err: c.late()})
		} else if earliest == 0 || c.deadline < earliest {
			earliest = c.deadline
		}
		c = next
	}
	s.earliest.Store(earliest)
}

var errLate = fmt.Errorf("no answer in time: most of the group's members may be out of reach (%w)", context.DeadlineExceeded)

// late is what a call is told that waited for too long.
func (c *call) late() error {
	if c.wait != nil {
		if applied := c.wait.door.Status().AppliedIndex; applied < c.wait.index {
			return &actors.BehindIndexError{Index: c.wait.index, Applied: applied, Cause: context.DeadlineExceeded}
		}
	}
	if c.kind == queryCall {
		return errLate
	}
	return fmt.Errorf("%w (%w)", actors.ErrOutcomeUnknown, errLate)
}

// callList is in the order of arrival.
type callList struct{ root call }

func (l *callList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *callList) append(c *call) {
	c.prev, c.next = l.root.prev, &l.root
	c.prev.next, l.root.prev = c, c
}

func (l *callList) remove(c *call) {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
}

func (l *callList) first() *call { return l.after(&l.root) }

func (l *callList) after(c *call) *call {
	if c.next == &l.root {
		return nil
	}
	return c.next
}

var errNoCall = errors.New("the call has no open, close, submit or query that this node knows")

// request is what a call asks for.
type request struct {
	id        uint64
	kind      callKind
	timeoutMs uint64
	group     []byte // valid until the next message
	data      []byte
	session   messages.SessionCommand
	nonce     uint64
	read      actors.Read
	minIndex  uint64
}
