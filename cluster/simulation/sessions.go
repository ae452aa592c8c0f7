package simulation

import (
	"bytes"
	"errors"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// outcomeOf reads the answer to a copy of a command.
func outcomeOf(a actors.Answer) (outcome, actors.CopyFate) {
	var rejected *actors.RejectedError
	return outcome{
		value: bytes.Clone(a.Value), rejected: errors.As(a.Err, &rejected), unkept: errors.Is(a.Err, actors.ErrAnswerNotKept),
	}, actors.FateOfCopy(a.Err)
}

// send sends a copy of a command in its session, and another one elsewhere if that has no answer after a while. Without a session it opens
// one, likewise.
func (o *operation) send() {
	w := o.w
	if !w.history.open[o] {
		return
	}
	n := o.node()
	if n == nil {
		o.elsewhere(nil, o.send)
		return
	}
	again := o.once()
	if place, ok := o.session.Send(&o.command); ok {
		if o.lazy && !w.options.smallSessions() {
			place.Lowest = 1
		}
		o.place = place
		a := w.ask(n, o.group, string(o.Input), o.Input, func(a actors.Answer) { o.answered(place, a, again) })
		n.doors[o.group].ProposeIn(place, a.given, a)
	} else if nonce, needed := o.session.Opening(); needed {
		session := o.session
		a := w.ask(n, o.group, "the opening of a session", nil, func(a actors.Answer) {
			if a.Err == nil {
				w.opened(session, a.Value)
			}
			again(a.Err)
		})
		n.doors[o.group].OpenSession(nonce, a)
	}
	w.after(w.between(20*time.Millisecond, 500*time.Millisecond), func() { again(nil) })
}

// once is what sends the next copy, elsewhere, when it is called first.
func (o *operation) once() func(error) {
	over := false
	return func(hint error) {
		if !over {
			over = true
			o.elsewhere(hint, o.send)
		}
	}
}

func (w *world) opened(s *actors.ClientSession, answer []byte) {
	opened, err := actors.DecodeOpenedSession(answer)
	if err != nil {
		w.fail("who opens a session is told its name", "%q: %v", answer, err)
		return
	}
	s.Opened(opened)
}

// answered takes the answer to a copy.
func (o *operation) answered(place messages.SessionCommand, a actors.Answer, again func(error)) {
	w := o.w
	got, fate := o.check(a)
	if fate == actors.CopyHomeless {
		w.checkGone(o.group, place.Session, a.Index)
	}
	if _, known := w.options.sessionLimits(); known && errors.Is(a.Err, actors.ErrBeyondWindow) {
		w.fail("a client keeps within its window", "%q: %+v: %v", o.Input, place, a.Err)
	}
	if w.history.open[o] && errors.Is(a.Err, actors.ErrSerialBelowLowest) {
		w.fail("a client says to have no answer that it waits for", "%q: %+v: %v", o.Input, place, a.Err)
	}
	switch o.session.Settle(&o.command, fate) {
	case actors.CommandAnswered:
		o.end()
		o.told = max(o.told, a.Index)
		o.done(got)
		if w.chance(late) {
			w.after(w.between(0, 5*time.Second), o.comeAgain)
		}
		if n := o.node(); n != nil && w.chance(overreaches) {
			o.overreach(n)
		}
		o.leave()
	case actors.CommandUnknown:
		o.end()
		o.record(outcome{unknown: true})
		o.elsewhere(nil, o.next)
	case actors.CommandUnanswered:
		again(a.Err)
	}
}

// check checks that all copies of a command have the same answer.
func (o *operation) check(a actors.Answer) (outcome, actors.CopyFate) {
	got, fate := outcomeOf(a)
	if fate != actors.CopyAnswered {
		return got, fate
	}
	if o.first == nil {
		o.first = &got
		o.tally().answered++
	}
	f := o.first
	if !f.unkept && !got.unkept && (f.rejected != got.rejected || !bytes.Equal(f.value, got.value)) {
		o.w.fail("a command of a session has one answer", "%q: %q %v, then %q %v", o.Input, f.value, f.rejected, got.value, got.rejected)
	}
	if f.unkept {
		o.first = &got
	}
	if got.unkept && !o.w.options.smallSessions() {
		o.w.fail("answers are kept as long as there is room for them", "%q: %v", o.Input, a.Err)
	}
	return got, fate
}

// comeAgain is a copy that was on its way for long.
func (o *operation) comeAgain() {
	w := o.w
	if n := w.someone(); n.up && o.group < len(n.doors) && !w.history.quiet {
		a := w.ask(n, o.group, string(o.Input), o.Input, func(a actors.Answer) { o.check(a) })
		n.doors[o.group].ProposeIn(o.place, a.given, a)
	}
}

// leave ends the client's session sometimes: it is closed, or left to itself. What is under way stays in it.
func (o *operation) leave() {
	w, session := o.w, o.client.session
	if session != o.session || !w.chance(leaves) {
		return
	}
	o.client.session = actors.NewClientSession(w.rng.Uint64)
	if n := o.node(); n != nil && session.ID() != (messages.SessionID{}) && w.chance(0.5) {
		n.doors[o.group].CloseSession(session.ID(), w.ask(n, o.group, "the end of a session", nil, func(actors.Answer) {}))
	}
}
