package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

var (
	errNoPlace        = errors.New("earlier writes have no answer yet")
	errNoSession      = errors.New("no session was opened in time")
	errForeignSession = errors.New("the server opened another session than the one that was asked for")
)

// session is the client's session of one group. It is opened when it is needed, and again when it is gone. It is safe for concurrent use.
type session struct {
	client *Client
	group  string

	mu   sync.Mutex
	half *actors.ClientSession
	// waiting are commands that cannot be sent yet, the first one first.
	waiting []*turn
	opening bool
	// refusal is why no session could be opened yet.
	refusal error
}

// turn is a command's place, when it comes.
type turn struct {
	command *actors.ClientCommand
	place   messages.SessionCommand
	err     error
	ready   chan struct{}
}

func (c *Client) session(group string) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[group]
	if s == nil {
		s = &session{client: c, group: group, half: actors.NewClientSession(rand.Uint64)}
		c.sessions[group] = s
	}
	return s
}

// place waits for the place of a command's next copy.
func (s *session) place(ctx context.Context, command *actors.ClientCommand) (messages.SessionCommand, error) {
	s.mu.Lock()
	if place, ok := s.half.Send(command); ok { // not while others wait: they came first, and had no place
		s.mu.Unlock()
		return place, nil
	}
	t := &turn{command: command, ready: make(chan struct{})}
	s.waiting = append(s.waiting, t)
	s.openIfNeeded()
	s.mu.Unlock()
	select {
	case <-t.ready:
		return t.place, t.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, t); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else if t.err == nil { // it came just now, and is not sent
		s.half.Settle(command, actors.CopyRefused)
	}
	switch {
	case s.refusal != nil:
		return messages.SessionCommand{}, s.refusal
	case s.opening:
		return messages.SessionCommand{}, errNoSession
	}
	return messages.SessionCommand{}, errNoPlace
}

// settle notes what became of a copy.
func (s *session) settle(command *actors.ClientCommand, fate actors.CopyFate) actors.CommandFate {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.half.Settle(command, fate)
	s.admit()
	return was
}

func (s *session) giveUp(command *actors.ClientCommand) (unknown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unknown = s.half.GiveUp(command)
	s.admit()
	return unknown
}

// admit gives places to those who wait, as far as there are any.
func (s *session) admit() {
	for len(s.waiting) > 0 {
		t := s.waiting[0]
		place, ok := s.half.Send(t.command)
		if !ok {
			s.openIfNeeded()
			return
		}
		t.place = place
		s.waiting = slices.Delete(s.waiting, 0, 1)
		close(t.ready)
	}
}

func (s *session) openIfNeeded() {
	if _, needed := s.half.Opening(); needed && !s.opening {
		s.opening = true
		go s.open()
	}
}

// openTime is for one round of tries to open a session.
const openTime = 5 * time.Second

// open opens a session for those who wait, as long as there are any.
func (s *session) open() {
	for {
		ctx, cancel := context.WithTimeout(s.client.lifetime, openTime)
		s.mu.Lock()
		nonce, _ := s.half.Opening()
		s.mu.Unlock()
		r := &opening{plain{kind: openCall, body: encodeOpen(s.group, nonce)}, s}
		err := s.client.try(ctx, r, time.Now())
		cancel()
		if s.opened(r.answer.other.GetOpened(), err) {
			return
		}
	}
}

// opened ends one round, and says whether it was the last.
func (s *session) opened(o *messages.OpenResponse, err error) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id messages.SessionID
	if err == nil {
		id, err = messages.ParseSessionID(o.GetSession())
	}
	if err == nil {
		s.refusal = nil
		s.half.Opened(actors.OpenedSession{ID: id, Window: max(o.GetWindow(), 1)})
		if _, needed := s.half.Opening(); needed {
			err = errForeignSession
		}
	}
	passes := errors.Is(err, ErrUnavailable) && !errors.Is(err, errHopeless)
	if err != nil && !passes || s.client.lifetime.Err() != nil {
		for _, t := range s.waiting {
			t.err = err
			close(t.ready)
		}
		s.waiting = nil
	}
	if err != nil && len(s.waiting) > 0 {
		return false
	}
	s.opening = false
	s.admit()
	return true
}

// opening is a request that tells those who wait why it takes so long.
type opening struct {
	plain
	session *session
}

func (o *opening) settle(came outcome) (over bool, err error) {
	o.session.mu.Lock()
	if was := o.session.refusal; came.err == nil || was == nil || connect.IsWireError(came.err) || !connect.IsWireError(was) {
		o.session.refusal = came.err
	}
	o.session.mu.Unlock()
	return o.plain.settle(came)
}

// close ends the session.
func (s *session) close(ctx context.Context) {
	s.mu.Lock()
	id := s.half.ID()
	s.mu.Unlock()
	if id == (messages.SessionID{}) {
		return
	}
	r := &plain{kind: closeCall, body: encodeClose(s.group, id)}
	_ = s.client.try(ctx, r, time.Now()) // otherwise it ends when it was idle for long
}
