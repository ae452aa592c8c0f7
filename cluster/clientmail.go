package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

// submit does for mail what a client does through the client port.
func (f *facade) submit(c actor.Context, m *client.Submit) {
	if caller := f.timed(c, m.Group, m.Timeout); caller != nil {
		caller.send(f, errand{data: m.Command})
	}
}

func (f *facade) query(c actor.Context, m *client.Query) {
	caller := f.timed(c, m.Group, m.Timeout)
	if caller == nil {
		return
	}
	how, err := actors.ReadOf(messages.Consistency(m.Read.Consistency), uint64(max(m.Read.MaxStaleness.Milliseconds(), 0)))
	if err != nil {
		caller.reply(actors.Answer{Err: err})
		return
	}
	if m.Read.MinIndex <= f.group.door.Status().AppliedIndex {
		caller.send(f, errand{data: m.Query, read: &how})
		return
	}
	go func() { // the door bounds how many wait for an index
		ctx, cancel := context.WithTimeout(context.Background(), caller.timeout)
		defer cancel()
		r, err := f.group.Query(ctx, ReadOptions{Read: how, MinIndex: m.Read.MinIndex}, m.Query)
		caller.Answer(actors.Answer{Index: r.Index, Value: r.Value, Err: err})
	}()
}

// timedCaller has its answer when its time is over, at the latest, and knows a client's errors.
type timedCaller struct {
	*facadeCaller
	timeout time.Duration
	errand  errand
	timer   *time.Timer
}

// timed is nil when the mail is for another group.
func (f *facade) timed(c actor.Context, group string, timeout time.Duration) *timedCaller {
	if group == "" || group == f.group.name {
		return &timedCaller{facadeCaller: f.caller(c), timeout: cmp.Or(max(timeout, 0), defaultTimeout)}
	}
	err := fmt.Errorf("this is the actor of the group %s, not of %q", f.group.name, group)
	f.caller(c).Answer(actors.Answer{Err: &clientError{err, client.ErrInvalid}})
	return nil
}

func (t *timedCaller) send(f *facade, e errand) {
	e.courier, e.until, e.caller = f.group.courier, time.Now().Add(t.timeout), t
	t.errand = e
	t.timer = time.AfterFunc(t.timeout, func() {
		if err, gaveUp := t.errand.giveUp(context.DeadlineExceeded); gaveUp {
			t.reply(actors.Answer{Err: err})
		}
	})
	t.errand.send()
}

// Answer implements actors.Caller.
func (t *timedCaller) Answer(a actors.Answer) {
	if t.timer != nil {
		t.timer.Stop()
	}
	t.reply(a)
}

func (t *timedCaller) reply(a actors.Answer) {
	if a.Err != nil {
		a.Err = &clientError{a.Err, clientKind(a.Err)}
	}
	t.facadeCaller.Answer(a)
}

// clientError is an error of a group that also is one of package client.
type clientError struct{ err, kind error }

func (e *clientError) Error() string   { return e.err.Error() }
func (e *clientError) Unwrap() []error { return []error{e.err, e.kind} }

// clientKind is what a client at the client port would be told.
func clientKind(err error) error {
	var rejected *actors.RejectedError
	switch {
	case errors.Is(err, actors.ErrOutcomeUnknown):
		return client.ErrOutcomeUnknown
	case errors.As(err, &rejected):
		return errors.Join(client.ErrInvalid, client.ErrRejected)
	case errors.Is(err, actors.ErrTooLarge), errors.Is(err, actors.ErrMalformedRead):
		return client.ErrInvalid
	case errors.Is(err, actors.ErrAnswerNotKept):
		return client.ErrAnswerNotKept
	case errors.Is(err, actors.ErrOverloaded):
		return client.ErrOverloaded
	}
	return client.ErrUnavailable
}
