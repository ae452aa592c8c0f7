package actors

import (
	"errors"

	"github.com/troupe-raft/troupe/messages"
)

// outcomeKinds are the errors that members tell each other, the first that fits.
var outcomeKinds = []struct {
	kind messages.Outcome_Kind
	err  error
}{
	{messages.Outcome_KIND_UNKNOWN, ErrOutcomeUnknown},
	{messages.Outcome_KIND_NOT_LEADER, ErrNotLeader},
	{messages.Outcome_KIND_OVERLOADED, ErrOverloaded},
	{messages.Outcome_KIND_TOO_LARGE, ErrTooLarge},
	{messages.Outcome_KIND_SESSION_GONE, ErrSessionGone},
	{messages.Outcome_KIND_SERIAL_BELOW_LOWEST, ErrSerialBelowLowest},
	{messages.Outcome_KIND_BEYOND_WINDOW, ErrBeyondWindow},
	{messages.Outcome_KIND_TOO_MANY_SESSIONS, ErrTooManySessions},
	{messages.Outcome_KIND_ANSWER_NOT_KEPT, ErrAnswerNotKept},
	{messages.Outcome_KIND_NOT_READY, ErrNotReady},
	{messages.Outcome_KIND_CHANGE_UNDER_WAY, ErrChangeUnderWay},
	{messages.Outcome_KIND_CHANGED_MEANWHILE, ErrChangedMeanwhile},
	{messages.Outcome_KIND_NOT_CAUGHT_UP, ErrNotCaughtUp},
	{messages.Outcome_KIND_BAD_MEMBERS, ErrBadMembers},
}

// outcomeOf is an answer as another member is told it.
func outcomeOf(a Answer) *messages.Outcome {
	o := &messages.Outcome{Index: a.Index, Value: a.Value}
	if a.Err == nil {
		return o
	}
	var rejected *RejectedError
	if errors.As(a.Err, &rejected) {
		o.Kind, o.Error = messages.Outcome_KIND_REJECTED, []byte(rejected.Reason.Error())
		return o
	}
	o.Kind, o.Error = messages.Outcome_KIND_REFUSED, []byte(a.Err.Error())
	for _, k := range outcomeKinds {
		if errors.Is(a.Err, k.err) {
			o.Kind = k.kind
			break
		}
	}
	return o
}

// answerOf is what another member told.
func answerOf(o *messages.Outcome) Answer {
	a := Answer{Index: o.Index, Value: o.Value}
	switch o.Kind {
	case messages.Outcome_KIND_RESULT:
	case messages.Outcome_KIND_REJECTED:
		a.Err = &RejectedError{errors.New(string(o.Error))}
	case messages.Outcome_KIND_REFUSED:
		a.Err = &toldError{ErrNotLeader, string(o.Error)} // it may be better soon, or elsewhere
	default:
		a.Err = &toldError{ErrOutcomeUnknown, string(o.Error)} // of a kind that a newer version knows
		for _, k := range outcomeKinds {
			if k.kind == o.Kind {
				a.Err = &toldError{k.err, string(o.Error)}
			}
		}
	}
	return a
}

// toldError is an error of another member.
type toldError struct {
	kind error
	text string
}

func (e *toldError) Error() string { return "the leader said: " + e.text }
func (e *toldError) Unwrap() error { return e.kind }
