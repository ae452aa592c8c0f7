package clientport

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

func TestErrorsAsClientsSeeThem(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   connect.Code
		detail any
	}{
		{
			&actors.NotLeaderError{LeaderID: "n2", ClientAddress: "h:1"}, connect.CodeFailedPrecondition,
			&messages.NotLeader{LeaderId: "n2", ClientAddress: "h:1"},
		},
		{&actors.NotLeaderError{}, connect.CodeFailedPrecondition, &messages.NotLeader{}},
		{actors.ErrNotLeader, connect.CodeFailedPrecondition, &messages.NotLeader{}},
		{actors.ErrOutcomeUnknown, connect.CodeAborted, &messages.OutcomeUnknown{}},
		{errors.Join(actors.ErrOutcomeUnknown, context.DeadlineExceeded), connect.CodeAborted, &messages.OutcomeUnknown{}},
		{errors.Join(actors.ErrOutcomeUnknown, context.Canceled), connect.CodeAborted, &messages.OutcomeUnknown{}},
		{actors.ErrOverloaded, connect.CodeResourceExhausted, nil},
		{actors.ErrTooLarge, connect.CodeInvalidArgument, nil},
		{&actors.RejectedError{Reason: errors.New("no")}, connect.CodeInvalidArgument, nil},
		{actors.ErrStorageFailed, connect.CodeUnavailable, nil},
		{actors.ErrGroupFailed, connect.CodeUnavailable, nil},
		{actors.ErrClosed, connect.CodeUnavailable, nil},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded, nil},
		{context.Canceled, connect.CodeCanceled, nil},
		{errors.New("a machine's own"), connect.CodeUnknown, nil},
		{connect.NewError(connect.CodeNotFound, errors.New("x")), connect.CodeNotFound, nil},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			seen := RPCError(err)
			if connect.CodeOf(seen) != c.code {
				t.Errorf("%v: %v; want %v", err, connect.CodeOf(seen), c.code)
			}
			var coded *connect.Error
			if c.detail == nil || !errors.As(seen, &coded) {
				continue
			}
			value, detailErr := coded.Details()[0].Value()
			if detailErr != nil || fmt.Sprint(value) != fmt.Sprint(c.detail) {
				t.Errorf("%v: detail %v, want %v", err, value, c.detail)
			}
		}
	}
	if RPCError(nil) != nil {
		t.Error("nil became an error")
	}
}
