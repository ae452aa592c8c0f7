package clientport

import (
	"context"

	"github.com/troupe-raft/troupe/messages"
)

// Members has the calls about who is in a group. Its methods are those of a group of the node.
type Members interface {
	Members(ctx context.Context) *messages.MembersResponse
	Join(ctx context.Context, r *messages.JoinRequest) (*messages.JoinResponse, error)
	ChangeMember(ctx context.Context, r *messages.ChangeMemberRequest) (index uint64, err error)
	HandOver(ctx context.Context, to string) (leader string, err error)
}

func (s clusterService) Members(ctx context.Context, r *messages.MembersRequest) (*messages.MembersResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	return group.Members(ctx), nil
}

func (s clusterService) Join(ctx context.Context, r *messages.JoinRequest) (*messages.JoinResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	response, err := group.Join(ctx, r)
	return response, RPCError(err)
}

func (s clusterService) ChangeMember(ctx context.Context, r *messages.ChangeMemberRequest) (*messages.ChangeMemberResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	index, err := group.ChangeMember(ctx, r)
	return &messages.ChangeMemberResponse{Index: index}, RPCError(err)
}

func (s clusterService) TransferLeader(ctx context.Context, r *messages.TransferLeaderRequest) (*messages.TransferLeaderResponse, error) {
	group, err := findGroup(ctx, s.node, r.GetGroup())
	if err != nil {
		return nil, err
	}
	leader, err := group.HandOver(ctx, r.GetTo())
	return &messages.TransferLeaderResponse{Leader: leader}, RPCError(err)
}
