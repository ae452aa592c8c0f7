package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// changeTry is how long one server may take to change the members of a group: it waits for others, too.
const changeTry = 3 * time.Second

// Members asks who is in a group, and how they are. An empty name means the group that the nodes started first.
func (c *Client) Members(ctx context.Context, group string) (response *messages.MembersResponse, err error) {
	err = c.repeat(ctx, 2*firstTry, func(ctx context.Context, s *server) (err error) {
		response, err = s.cluster.Members(ctx, &messages.MembersRequest{Group: group})
		return err
	})
	return response, err
}

// Join asks for a node to be taken into a group. It may be asked again and again: each time it does what is left to be done.
func (c *Client) Join(ctx context.Context, r *messages.JoinRequest) (response *messages.JoinResponse, err error) {
	err = c.change(ctx, func(ctx context.Context, s *server) (err error) {
		response, err = s.cluster.Join(ctx, r)
		return err
	})
	return response, err
}

// ChangeMember changes what a member is, and returns the index of the configuration that the group then has. It may be asked again: what is
// so already succeeds. After [ErrOutcomeUnknown] it may come to be so.
func (c *Client) ChangeMember(ctx context.Context, r *messages.ChangeMemberRequest) (index uint64, err error) {
	err = c.change(ctx, func(ctx context.Context, s *server) error {
		response, err := s.cluster.ChangeMember(ctx, r)
		index = response.GetIndex()
		return err
	})
	return index, err
}

// TransferLeader makes another voter the leader, the one that lacks the least if to is empty, and returns who leads then.
func (c *Client) TransferLeader(ctx context.Context, group, to string) (leader string, err error) {
	err = c.change(ctx, func(ctx context.Context, s *server) error {
		response, err := s.cluster.TransferLeader(ctx, &messages.TransferLeaderRequest{Group: group, To: to})
		leader = response.GetLeader()
		return err
	})
	return leader, err
}

// change is call for what changes the group. It may be repeated, and what becomes of it may stay unknown.
func (c *Client) change(ctx context.Context, ask func(context.Context, *server) error) error {
	unknown, last := false, error(nil)
	err := c.repeat(ctx, changeTry, func(ctx context.Context, s *server) error {
		err := ask(ctx, s)
		if judge(err) == silent {
			unknown, last = true, err
		}
		return err
	})
	if unknown && errors.Is(err, ErrUnavailable) {
		over := ctx.Err()
		if over == nil { // the call had a deadline of its own
			over = context.DeadlineExceeded
		}
		return &callError{
			text: fmt.Sprintf("the outcome is unknown (%s): it may or may not come to be so; look at the members, and repeat it, "+
				"which does no harm", sentence(last)),
			kind: ErrOutcomeUnknown, cause: errors.Join(over, last), // not ErrUnavailable: that means that nothing was done
		}
	}
	return err
}
