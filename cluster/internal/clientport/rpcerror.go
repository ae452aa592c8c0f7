package clientport

import (
	"context"
	"errors"

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
	var notLeader *actors.NotLeaderError
	var rejected *actors.RejectedError
	switch {
	case errors.Is(err, actors.ErrOutcomeUnknown): // before what it may also be, a context's error
		return detailed(connect.CodeAborted, err, &messages.OutcomeUnknown{})
	case errors.As(err, &notLeader):
		return detailed(connect.CodeFailedPrecondition, err, &messages.NotLeader{
			LeaderId: notLeader.LeaderID, ClientAddress: notLeader.ClientAddress,
		})
	case errors.Is(err, actors.ErrNotLeader):
		return detailed(connect.CodeFailedPrecondition, err, &messages.NotLeader{})
	case errors.Is(err, actors.ErrOverloaded):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, actors.ErrTooLarge), errors.As(err, &rejected):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, actors.ErrStorageFailed), errors.Is(err, actors.ErrGroupFailed), errors.Is(err, actors.ErrClosed):
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	}
	return connect.NewError(connect.CodeUnknown, err)
}

func detailed(code connect.Code, err error, detail proto.Message) error {
	coded := connect.NewError(code, err)
	if d, err := connect.NewErrorDetail(detail); err == nil {
		coded.AddDetail(d)
	}
	return coded
}
