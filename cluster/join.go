package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

// Join says how a node comes into a group that runs.
type Join struct {
	// Endpoints are client addresses, host:port, of some of the group's members.
	Endpoints []string
	// TLS is for those. nil: plain text.
	TLS *tls.Config
	// Learner: the node gets the log, answers reads, and has no vote.
	Learner bool
}

// JoinGroup starts this node's server of a group that others founded, with a state machine that is new and empty. A node that does not know
// the group asks its members for it until ctx is done, and founds nothing: first it is a learner, and, unless that is all that it wants,
// it gets a vote when it has the log. That goes on behind the call, over restarts too, when the group is joined again in the same way. A
// node that knows the group goes by what its directory remembers.
func (n *Node) JoinGroup(ctx context.Context, name string, j Join, machine actors.StateMachine) (*Group, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := checkName("group name", name); err != nil {
		return nil, err
	}
	switch {
	case machine == nil:
		return nil, fmt.Errorf("group %s needs a state machine", name)
	case len(j.Endpoints) == 0:
		return nil, fmt.Errorf("nobody is named that could take this node into group %s: give client addresses of members", name)
	}
	g := newGroup(name, n)
	if err := n.reserve(g); err != nil {
		return nil, err
	}
	defer n.unreserve(g)
	record := n.store.KnownGroup(name)
	if record == nil {
		answer, err := n.askToJoin(ctx, name, j)
		if err != nil {
			return nil, err
		}
		if record, err = n.store.JoinedGroup(name, answer.GetClusterId()); err != nil {
			return nil, err
		}
	}
	if err := n.launch(g, record, nil, machine); err != nil {
		return nil, err
	}
	if record.GetClusterId() != 0 && !record.GetJoined() {
		go g.becomeMember(j)
	}
	return g, nil
}

// Joining asks again after that, and tells the log what keeps it after so many times.
const (
	joinAgain = 200 * time.Millisecond
	joinTell  = 25
)

// askToJoin asks until somebody takes this node in.
func (n *Node) askToJoin(ctx context.Context, name string, j Join) (*messages.JoinResponse, error) {
	ctx, cancel := n.untilStopped(ctx)
	defer cancel()
	c := client.New(j.Endpoints, client.WithTLS(j.TLS))
	defer c.Close()
	for {
		answer, err := c.Join(ctx, n.joinRequest(name, j, false))
		if err == nil {
			return answer, nil
		}
		if errors.Is(err, client.ErrInvalid) || ctx.Err() != nil {
			return nil, fmt.Errorf("this node cannot join group %s: %w", name, err)
		}
		n.log.Warn("no member takes this node in yet", "group", name, "err", err)
		rest(ctx, joinAgain)
	}
}

func (n *Node) joinRequest(name string, j Join, known bool) *messages.JoinRequest {
	return &messages.JoinRequest{
		Group: name, Cluster: n.config.Cluster, Id: n.config.ID, Address: n.config.PeerAddr,
		StoreId: n.store.Identity().GetStoreId(), Learner: j.Learner, Known: known,
	}
}

// becomeMember asks until this node is what it wants to be, and notes that. It was taken in before: who was removed since stays out.
func (g *Group) becomeMember(j Join) {
	n := g.node
	ctx, cancel := n.untilStopped(context.Background())
	defer cancel()
	c := client.New(j.Endpoints, client.WithTLS(j.TLS))
	defer c.Close()
	for try := 1; ctx.Err() == nil; try++ {
		answer, err := c.Join(ctx, n.joinRequest(g.name, j, true))
		if err == nil && answer.GetDone() {
			if err = n.store.SetJoined(g.name); err == nil {
				n.log.Info("this node has joined", "group", g.name, "learner", j.Learner)
				return
			}
		}
		if try%joinTell == 0 {
			n.log.Warn("this node is not yet what it asked to be in the group", "group", g.name, "err", err)
		}
		rest(ctx, joinAgain)
	}
}

// keepAddress tells the group where this node is, when the configuration in force says otherwise.
func (g *Group) keepAddress(c *actors.Configuration) {
	if !g.misplaced(c) || !g.moving.CompareAndSwap(false, true) {
		return
	}
	go func() {
		ctx, cancel := g.node.untilStopped(context.Background())
		defer cancel()
		select {
		case <-g.launched:
		case <-ctx.Done():
		}
		for try := 0; ctx.Err() == nil && g.misplaced(g.configuration.Load()); try++ {
			err := g.moveSelf(ctx)
			if err != nil && try%joinTell == 0 {
				g.node.log.Warn("the group does not know yet where this node is", "group", g.name, "address", g.node.PeerAddr(), "err", err)
			}
			rest(ctx, joinAgain)
		}
		g.moving.Store(false)
		if ctx.Err() == nil {
			g.keepAddress(g.configuration.Load()) // it may have changed just now
		}
	}()
}

func (g *Group) misplaced(c *actors.Configuration) bool {
	m, in := c.Member(g.node.ID())
	return in && c.Index > 0 && m.Address != g.node.PeerAddr()
}

// untilStopped ends a context when the node stops.
func (n *Node) untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-n.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
