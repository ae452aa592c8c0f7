package cluster

import (
	"context"
	"errors"

	"github.com/troupe-raft/troupe/actors"
)

// errMayLook is the error of an answer that is none: whoever waits for it makes the read by itself.
var errMayLook = errors.New("the read may be made")

// looker is an errand whose caller can make a read by itself.
type looker errand

var _ actors.Looker = (*looker)(nil)

// Answer implements actors.Caller.
func (l *looker) Answer(a actors.Answer) { (*errand)(l).Answer(a) }

// MayLook implements actors.Looker.
func (l *looker) MayLook(readIndex uint64) {
	l.caller.Answer(actors.Answer{Index: readIndex, Err: errMayLook})
}

// look makes a read that may be made. If the state machine cannot be asked beside its actor now, the actor is asked.
func (e errand) look(ctx context.Context, calls *calls, readIndex uint64) (actors.Answer, error) {
	if a, ok := e.courier.door.LookNow(readIndex, e.data); ok {
		return a, a.Err
	}
	e.looks = false
	return calls.waiter().do(ctx, e)
}
