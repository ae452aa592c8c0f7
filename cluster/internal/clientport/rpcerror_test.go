package clientport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
		{actors.ErrOverloaded, connect.CodeResourceExhausted, &messages.RetryAfter{Milliseconds: 100}},
		{errNoRoom, connect.CodeResourceExhausted, &messages.RetryAfter{Milliseconds: 100}},
		{errTooLarge, connect.CodeInvalidArgument, nil},
		{actors.ErrSessionGone, connect.CodeNotFound, nil},
		{&noGroup{"g", []string{"kv"}}, connect.CodeNotFound, &messages.NotLeader{}},
		{actors.ErrSerialBelowLowest, connect.CodeOutOfRange, nil},
		{actors.ErrBeyondWindow, connect.CodeResourceExhausted, &messages.RetryAfter{Milliseconds: 100}},
		{actors.ErrTooManySessions, connect.CodeResourceExhausted, &messages.RetryAfter{Milliseconds: 100}},
		{actors.ErrAnswerNotKept, connect.CodeDataLoss, nil},
		{&actors.LevelError{Members: []string{"n3"}}, connect.CodeUnavailable, nil},
		{actors.ErrRestoring, connect.CodeUnavailable, nil},
		{messages.ErrMalformedSession, connect.CodeInvalidArgument, nil},
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
			call := callError(err)
			if call.Code != c.code.String() || call.Message == "" {
				t.Errorf("%v: as a call's answer it is %v", err, call)
			}
			var coded *connect.Error
			if !errors.As(seen, &coded) {
				t.Fatalf("%v is no error of Connect", seen)
			}
			if c.detail == nil {
				if len(coded.Details()) > 0 {
					t.Errorf("%v: details %v", err, coded.Details())
				}
				continue
			}
			if said := fmt.Sprint(call.NotLeader, call.OutcomeUnknown, call.RetryAfter); !strings.Contains(said, fmt.Sprint(c.detail)) {
				t.Errorf("%v: as a call's answer it says %q, want %v", err, said, c.detail)
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

// A call holds a place for a minute at most, whatever time its client gives it. Without any, the handler's own time counts.
func TestACallEnds(t *testing.T) {
	for name, test := range map[string]struct{ given, want time.Duration }{
		"long":  {100 * time.Hour, mostCallTime},
		"short": {time.Second, time.Second},
		"none":  {0, 0},
	} {
		ctx := t.Context()
		if test.given > 0 {
			limited, cancel := context.WithTimeout(ctx, test.given)
			defer cancel()
			ctx = limited
		}
		_, _ = limitTime(func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
			deadline, has := ctx.Deadline()
			if has != (test.want > 0) || has && time.Until(deadline) > test.want {
				t.Errorf("%s: it ends: %v, in %v", name, has, time.Until(deadline))
			}
			return nil, nil
		})(ctx, nil)
	}
}
