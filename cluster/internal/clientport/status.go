package clientport

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// statusService answers Cluster.Status.
type statusService struct {
	messagesconnect.UnimplementedClusterHandler
	node Node
}

var _ messagesconnect.ClusterHandler = statusService{}

func (s statusService) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	groups := s.node.Groups()
	if len(groups) == 0 {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("no group is started on this node yet: try again"))
	}
	status := s.node.Status(ctx, cmp.Or(r.GetGroup(), groups[0]), r.GetLocal())
	if status == nil {
		err := fmt.Errorf("there is no group %q on this node: its first group is %q", r.GetGroup(), groups[0])
		return nil, connect.NewError(connect.CodeNotFound, err)
	}
	return status, nil
}
