package client

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-raft/troupe/actors"
)

// Result is the answer to a command or a query.
type Result struct {
	// Index is the command's place in the log. A query's answer reflects the log up to there.
	Index uint64
	Value []byte
}

// Submit has a group replicate a command and apply it once, however often it has to be sent, and returns what the state machine answers.
// An empty group is the first that the nodes started. The command must not change until Submit has returned.
func (c *Client) Submit(ctx context.Context, group string, command []byte) (Result, error) {
	r := &submission{group: group, command: command}
	if !c.options.atMostOnce {
		r.session = c.session(group)
	}
	if err := c.ask(ctx, r); err != nil {
		return Result{}, err
	}
	return r.answer, nil
}

// submission is a command on its way.
type submission struct {
	group   string
	command []byte
	session *session // nil: it is sent at most once
	state   actors.ClientCommand
	answer  Result
}

func (s *submission) next(ctx context.Context) (*call, error) {
	if s.session == nil {
		return newCall(submitCall, encodeSubmit(s.group, s.command, nil)), nil
	}
	place, err := s.session.place(ctx, &s.state)
	if err != nil {
		return nil, err
	}
	return newCall(submitCall, encodeSubmit(s.group, s.command, &place)), nil
}

func (s *submission) settle(o outcome) (over bool, err error) {
	s.answer = o.answer.result
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

// ruled says that no copy of a command that was refused so takes effect, since the state machine rejected it. The wire has no other sign of
// that. Any other refusal is of one copy, by one server: another may take a larger command.
func ruled(o outcome) bool {
	return connect.CodeOf(o.err) == connect.CodeInvalidArgument && strings.HasPrefix(sentence(o.err), ErrRejected.Error())
}

// refusedFor is the error of a request that no server does.
func refusedFor(o outcome) error {
	err := &callError{text: sentence(o.err), kind: ErrInvalid, cause: o.err}
	if ruled(o) {
		err.cause = errors.Join(ErrRejected, o.err)
	}
	return err
}

// plain is a request that may be repeated as it is.
type plain struct {
	kind      protowire.Number
	body      []byte
	explained bool
	answer    answered
}

func (p *plain) next(context.Context) (*call, error) {
	c := newCall(p.kind, p.body)
	c.explained = p.explained
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
