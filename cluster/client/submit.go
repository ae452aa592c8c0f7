package client

import (
	"context"
	"errors"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Result is the answer to a command or a query.
type Result struct {
	// Index is the command's place in the log. A query's answer reflects the log up to there.
	Index uint64
	Value []byte
}

// Submit has a group replicate a command and apply it once, however often it has to be sent, and returns what the state machine answers.
// An empty group is the first that the nodes started. The command must not change until Submit has returned, and a while longer when it
// returned an error.
func (c *Client) Submit(ctx context.Context, group string, command []byte) (Result, error) {
	r := &submission{group: group, command: command}
	if !c.options.atMostOnce {
		r.session = c.session(group)
	}
	if err := c.ask(ctx, r); err != nil {
		return Result{}, err
	}
	return Result{Index: r.answer.GetIndex(), Value: r.answer.GetValue()}, nil
}

// submission is a command on its way.
type submission struct {
	group   string
	command []byte
	session *session // nil: it is sent at most once
	state   actors.ClientCommand
	answer  *messages.SubmitResponse
}

// submitCall is all that a copy of a command is made of.
type submitCall struct {
	call
	kind    messages.Call_Submit
	request messages.SubmitRequest
	session messages.SessionSerial
}

func (s *submission) next(ctx context.Context) (*call, error) {
	c := &submitCall{}
	c.answer = replies.Get().(chan reply)
	c.bytes = len(s.command) + callOverhead
	c.request.Group, c.request.Command = s.group, s.command
	c.kind.Submit, c.wire.Call = &c.request, &c.kind
	if s.session == nil {
		return &c.call, nil
	}
	place, err := s.session.place(ctx, &s.state)
	if err != nil {
		return nil, err
	}
	c.session.Id, c.session.Serial, c.session.Lowest = place.Session.Bytes(), place.Serial, place.Lowest
	c.request.Session = &c.session
	return &c.call, nil
}

func (s *submission) settle(o outcome) (over bool, err error) {
	s.answer = o.answer.GetSubmitted()
	if s.session == nil {
		return s.settleOnly(o)
	}
	switch s.session.settle(&s.state, fateOf(o)) {
	case actors.CommandAnswered:
		return true, answerError(o)
	case actors.CommandUnknown:
		return true, outcomeUnknown(o.from.address, o.err)
	}
	if o.verdict == wrong {
		if s.giveUp() && !ruled(o) {
			return true, outcomeUnknown(o.from.address, o.err)
		}
		return true, refusedFor(o)
	}
	return false, nil
}

// settleOnly is for the only copy of a command without a session. One that was refused does not count.
func (s *submission) settleOnly(o outcome) (over bool, err error) {
	switch o.verdict {
	case done, forgotten:
		return true, answerError(o)
	case wrong, missing:
		return true, refusedFor(o)
	case silent, unknown:
		if o.sent {
			return true, outcomeUnknown(o.from.address, o.err)
		}
	}
	return false, nil
}

func (s *submission) giveUp() (unknown bool) { return s.session != nil && s.session.giveUp(&s.state) }

// fateOf says what an outcome means for a copy of a command.
func fateOf(o outcome) actors.CopyFate {
	switch o.verdict {
	case done, forgotten:
		return actors.CopyAnswered
	case missing:
		return actors.CopyHomeless
	case silent, unknown:
		if o.sent {
			return actors.CopyLost
		}
	}
	return actors.CopyRefused
}

func answerError(o outcome) error {
	if o.verdict == forgotten {
		return &callError{text: sentence(o.err), kind: ErrAnswerNotKept, cause: o.err}
	}
	return nil
}

// ruled says that no copy of a command that was refused so takes effect: it is too large, or the state machine rejected it.
func ruled(o outcome) bool { return connect.CodeOf(o.err) == connect.CodeInvalidArgument }

// refusedFor is the error of a request that no server does.
func refusedFor(o outcome) error {
	err := &callError{text: sentence(o.err), kind: ErrInvalid, cause: o.err}
	if ruled(o) && strings.HasPrefix(err.text, ErrRejected.Error()) { // the wire has no other sign of it
		err.cause = errors.Join(ErrRejected, o.err)
	}
	return err
}

// plain is a request that may be repeated as it is.
type plain struct {
	template *messages.Call
	bytes    int
	answer   *messages.CallAnswer
}

func (p *plain) next(context.Context) (*call, error) {
	c := &call{answer: replies.Get().(chan reply), bytes: p.bytes + callOverhead}
	c.wire.Call = p.template.Call
	return c, nil
}

func (p *plain) settle(o outcome) (over bool, err error) {
	switch o.verdict {
	case done:
		p.answer = o.answer
		return true, nil
	case wrong, missing, forgotten:
		return true, refusedFor(o)
	}
	return false, nil
}

func (p *plain) giveUp() (unknown bool) { return false }

// callOverhead is what a call takes besides a command or a query, about.
const callOverhead = 64

// replies are channels for one reply, for reuse.
var replies = sync.Pool{New: func() any { return make(chan reply, 1) }}
