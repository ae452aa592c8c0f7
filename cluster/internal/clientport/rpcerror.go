package clientport

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// RPCError is an error of package actors as Connect and gRPC clients see it: cluster.RPCError has the table.
func RPCError(err error) error {
	var coded *connect.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	code, detail := classify(err)
	coded = connect.NewError(code, err)
	if detail != nil {
		if d, err := connect.NewErrorDetail(detail); err == nil {
			coded.AddDetail(d)
		}
	}
	return coded
}

// callError is the same as the answer to a call of an Exchange.
func callError(err error) *messages.CallError {
	if coded := (*connect.Error)(nil); errors.As(err, &coded) {
		return &messages.CallError{Code: coded.Code().String(), Message: text(coded.Message())}
	}
	code, detail := classify(err)
	e := &messages.CallError{Code: code.String(), Message: text(err.Error())}
	switch d := detail.(type) {
	case *messages.NotLeader:
		e.NotLeader = d
	case *messages.OutcomeUnknown:
		e.OutcomeUnknown = d
	case *messages.RetryAfter:
		e.RetryAfter = d
	}
	return e
}

// text is what of an error's sentence is text: a state machine may have quoted a command.
func text(sentence string) string { return strings.ToValidUTF8(sentence, "\uFFFD") }

// retryAfter is when who was refused as overload may try again. By then, much of what was admitted has its answer.
const retryAfter = 100 * time.Millisecond

// overload is a refusal because of what others, or the client itself, have under way.
type overload struct{ reason string }

func (o *overload) Error() string { return o.reason }

// classify is the code of an error, and the detail that it carries, or nil.
func classify(err error) (connect.Code, proto.Message) {
	var notLeader *actors.NotLeaderError
	var rejected *actors.RejectedError
	var notMember *actors.NotMemberError
	var tooMuch *overload
	var homeless *noGroup
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
	switch {
	case is(actors.ErrOutcomeUnknown): // before what it may also be, a context's error
		return connect.CodeAborted, &messages.OutcomeUnknown{}
	case errors.As(err, &notLeader):
		return connect.CodeFailedPrecondition, &messages.NotLeader{LeaderId: notLeader.LeaderID, ClientAddress: notLeader.ClientAddress}
	case is(actors.ErrNotLeader):
		return connect.CodeFailedPrecondition, &messages.NotLeader{}
	case is(actors.ErrOverloaded, actors.ErrTooManySessions, actors.ErrBeyondWindow), errors.As(err, &tooMuch):
		return connect.CodeResourceExhausted, &messages.RetryAfter{Milliseconds: uint32(retryAfter.Milliseconds())}
	case is(actors.ErrTooLarge, errTooLarge, messages.ErrMalformedSession, actors.ErrMalformedRead), errors.As(err, &rejected):
		return connect.CodeInvalidArgument, nil
	case is(actors.ErrBadMembers, actors.ErrTooFewLeft, actors.ErrNotCaughtUp, actors.ErrCannotLead, actors.ErrNotTakenOver):
		return connect.CodeInvalidArgument, nil // not failed_precondition, which says who leads
	case errors.As(err, &homeless):
		return connect.CodeNotFound, &messages.NotLeader{}
	case is(actors.ErrSessionGone), errors.As(err, &notMember):
		return connect.CodeNotFound, nil
	case is(actors.ErrSerialBelowLowest):
		return connect.CodeOutOfRange, nil
	case is(actors.ErrAnswerNotKept):
		return connect.CodeDataLoss, nil
	case is(actors.ErrStorageFailed, actors.ErrGroupFailed, actors.ErrClosed, actors.ErrRestoring, actors.ErrNotReady,
		actors.ErrChangeUnderWay, actors.ErrChangedMeanwhile, actors.ErrHandingOver):
		return connect.CodeUnavailable, nil
	case is(context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded, nil
	case is(context.Canceled):
		return connect.CodeCanceled, nil
	}
	return connect.CodeUnknown, nil
}
