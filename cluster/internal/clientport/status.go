package clientport

import (
	"context"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// clusterService answers for the node itself, whatever its groups are for.
type clusterService struct{ node Node }

var _ messagesconnect.ClusterHandler = clusterService{}

func (s clusterService) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	group, err := groupName(s.node, r.GetGroup())
	if err != nil {
		return nil, RPCError(err)
	}
	NameLeader(ctx, group)
	return s.node.Status(ctx, group, r.GetLocal()), nil
}
