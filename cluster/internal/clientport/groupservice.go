package clientport

import (
	"context"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// groupService has the calls of the service Group that are answered one by one. Exchange has a handler of its own.
type groupService struct {
	messagesconnect.UnimplementedGroupHandler
	node Node
}

var _ messagesconnect.GroupHandler = groupService{}

func (s groupService) Submit(ctx context.Context, r *messages.SubmitRequest) (*messages.SubmitResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	session, err := r.GetSession().Command()
	if err != nil {
		return nil, RPCError(err)
	}
	index, value, err := group.Submit(ctx, session, r.GetCommand())
	if err != nil {
		return nil, RPCError(err)
	}
	if err := MakeRoom(ctx, len(value)); err != nil {
		return nil, RPCError(actors.ErrAnswerNotKept) // it took effect
	}
	return &messages.SubmitResponse{Index: index, Value: value}, nil
}

func (s groupService) Query(ctx context.Context, r *messages.QueryRequest) (*messages.QueryResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	read, err := actors.ReadOf(r.GetConsistency(), r.GetMaxStalenessMs())
	if err != nil {
		return nil, RPCError(err)
	}
	index, value, err := group.Query(ctx, read, r.GetMinIndex(), r.GetQuery())
	if err != nil {
		return nil, RPCError(err)
	}
	if err := MakeRoom(ctx, len(value)); err != nil {
		return nil, err
	}
	return &messages.QueryResponse{Index: index, Value: value}, nil
}
