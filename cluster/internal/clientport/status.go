package clientport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// clusterService answers for the node itself, whatever its groups are for.
type clusterService struct{ node Node }

var _ messagesconnect.ClusterHandler = clusterService{}

func (s clusterService) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	group, err := s.group(r.GetGroup())
	if err != nil {
		return nil, err
	}
	return s.node.Status(ctx, group, r.GetLocal()), nil
}

// group is the one that was asked for, or the first.
func (s clusterService) group(asked string) (string, error) {
	groups := s.node.Groups()
	if len(groups) == 0 {
		return "", connect.NewError(connect.CodeUnavailable, errors.New("no group is started on this node yet: try again"))
	}
	group := cmp.Or(asked, groups[0])
	if !slices.Contains(groups, group) {
		err := fmt.Errorf("there is no group %q on this node: its first group is %q", asked, groups[0])
		return "", connect.NewError(connect.CodeNotFound, err)
	}
	return group, nil
}
