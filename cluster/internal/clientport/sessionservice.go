package clientport

import (
	"context"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

type sessionService struct{ node Node }

var _ messagesconnect.SessionHandler = sessionService{}

func (s sessionService) Open(ctx context.Context, r *messages.OpenRequest) (*messages.OpenResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	opened, err := group.OpenSession(ctx, r.GetNonce())
	if err != nil {
		return nil, RPCError(err)
	}
	return &messages.OpenResponse{Session: opened.ID.Bytes(), Window: opened.Window}, nil
}

func (s sessionService) Close(ctx context.Context, r *messages.CloseRequest) (*messages.CloseResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	id, err := messages.ParseSession(r.GetSession())
	if err == nil {
		err = group.CloseSession(ctx, id)
	}
	if err != nil {
		return nil, RPCError(err)
	}
	return &messages.CloseResponse{}, nil
}
