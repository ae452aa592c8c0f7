package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// Members is who is in a group, and how they are.
func (c clientGroup) Members(ctx context.Context) *messages.MembersResponse {
	s := c.Status()
	now := s.Configuration
	response := &messages.MembersResponse{
		Group: c.name, ClusterId: s.ClusterID, Index: now.Index, Joint: len(now.Outgoing) > 0,
	}
	for _, m := range c.clusterStatus(ctx, false).GetMembers() {
		known, _ := now.Member(m.GetId())
		response.Members = append(response.Members, &messages.GroupMember{
			Id: m.GetId(), Address: m.GetPeerAddress(), ClientAddress: m.GetClientAddress(), Voter: now.PartOf(m.GetId()) == actors.Voter,
			StoreId: known.StoreID, Reachable: m.GetReachable(), Error: m.GetError(),
		})
	}
	return response
}

// ChangeMember does what an operator asks for.
func (c clientGroup) ChangeMember(ctx context.Context, r *messages.ChangeMemberRequest) (uint64, error) {
	if err := checkName("member id", r.GetId()); err != nil { // no member has it, so its removal would seem to succeed
		return 0, fmt.Errorf("%w: %w", actors.ErrBadMembers, err)
	}
	switch r.GetChange() {
	case messages.ChangeMemberRequest_CHANGE_REMOVE:
		return c.Remove(ctx, r.GetId(), r.GetAnyway())
	case messages.ChangeMemberRequest_CHANGE_PROMOTE:
		return c.Promote(ctx, r.GetId())
	case messages.ChangeMemberRequest_CHANGE_DEMOTE:
		return c.Demote(ctx, r.GetId())
	case messages.ChangeMemberRequest_CHANGE_UPDATE:
		return c.Move(ctx, r.GetId(), r.GetAddress())
	}
	return 0, fmt.Errorf("%w: this node does not know the change %d", actors.ErrBadMembers, r.GetChange())
}

// Join takes a node into the group that asks for it: first as a learner, and then, when it asks again and has caught up, as a voter. What
// was done for it before is not done again.
func (c clientGroup) Join(ctx context.Context, r *messages.JoinRequest) (*messages.JoinResponse, error) {
	if err := c.checkJoin(r); err != nil {
		return nil, err
	}
	done := false
	_, err := c.amend(ctx, func(to *actors.Change) (err error) {
		done, err = admit(to, r)
		return err
	})
	if errors.Is(err, actors.ErrNotCaughtUp) {
		done, err = false, nil
	}
	if err != nil {
		return nil, err
	}
	return &messages.JoinResponse{Group: c.name, ClusterId: c.Status().ClusterID, Done: done}, nil
}

func (c clientGroup) checkJoin(r *messages.JoinRequest) error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", actors.ErrBadMembers, err) }
	if own := c.node.config.Cluster; r.GetCluster() != own {
		return bad(fmt.Errorf("the node is of the cluster %.64q, and this is %s: check its --cluster", r.GetCluster(), own))
	}
	if err := checkName("node id", r.GetId()); err != nil {
		return bad(err)
	}
	if err := checkPeerAddress("peer address", r.GetAddress()); err != nil {
		return bad(err)
	}
	if r.GetStoreId() == 0 {
		return bad(errors.New("the node does not say which data directory it has"))
	}
	if c.Status().ClusterID == 0 {
		return fmt.Errorf("%w: %w", actors.ErrNotReady, actors.ErrNothingCommitted)
	}
	return nil
}

// admit is the next step for a node that joins, and whether it is the last.
func admit(to *actors.Change, r *messages.JoinRequest) (last bool, err error) {
	m := actors.Member{ID: r.GetId(), Address: r.GetAddress(), StoreID: r.GetStoreId()}
	votes, learns := indexOf(to.Voters, m.ID), indexOf(to.Learners, m.ID)
	list, at := to.Voters, votes
	switch {
	case votes >= 0:
	case learns >= 0:
		list, at = to.Learners, learns
	case r.GetKnown():
		return false, fmt.Errorf("%w: %s was removed; to add it again, start it with an empty directory", actors.ErrBadMembers, m.ID)
	default:
		to.Learners = append(to.Learners, m)
		return r.GetLearner(), nil
	}
	switch had := list[at]; {
	case had.StoreID != m.StoreID:
		return false, fmt.Errorf("%w: %s is in the group with another data directory; remove %s first", actors.ErrBadMembers, m.ID, m.ID)
	case had.Address != m.Address:
		list[at] = m
		return false, nil
	case votes >= 0 || r.GetLearner():
		return true, nil
	}
	to.Learners = slices.Delete(to.Learners, at, at+1)
	to.Voters = append(to.Voters, m)
	return true, nil
}
