package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// probeTime is how long a member may take to answer before it counts as unreachable.
const probeTime = 500 * time.Millisecond

// prober is the actor "node" of the internal actor system: it tells peers the status of this node's servers, and collects
// what they tell.
type prober struct {
	node *Node
	pid  *actor.PID

	mu      sync.Mutex
	round   uint64
	pending map[uint64]chan *messages.NodeStatusReply
}

func newProber(n *Node) *prober {
	return &prober{node: n, pending: map[uint64]chan *messages.NodeStatusReply{}}
}

func (p *prober) spawn(root *actor.RootContext) (err error) {
	p.pid, err = root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return p }), proberName)
	return err
}

func (p *prober) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *messages.NodeStatusRequest:
		p.answer(c, m)
	case *messages.NodeStatusReply:
		p.take(m)
	}
}

// answer replies to members only, at the addresses known for them.
func (p *prober) answer(c actor.Context, m *messages.NodeStatusRequest) {
	g, found := p.node.Group(m.GetGroup())
	if !found {
		return
	}
	for _, member := range g.members {
		if member.ID == m.GetFrom() {
			c.Send(actor.NewPID(member.Address, proberName), &messages.NodeStatusReply{
				From: p.node.ID(), Round: m.GetRound(), Status: g.memberStatus(),
			})
		}
	}
}

func (p *prober) take(m *messages.NodeStatusReply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.pending[m.GetRound()] <- m: // nobody waits for an unknown round
	default:
	}
}

// ask gathers what the group's other members say of themselves, by id.
func (p *prober) ask(ctx context.Context, g *Group) map[string]*messages.MemberStatus {
	answers := make(chan *messages.NodeStatusReply, 2*len(g.members))
	p.mu.Lock()
	p.round++
	round := p.round
	p.pending[round] = answers
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pending, round)
	}()

	missing := map[string]bool{}
	for _, member := range g.members {
		if member.ID != p.node.ID() {
			missing[member.ID] = true
			p.node.system.Root.Send(actor.NewPID(member.Address, proberName),
				&messages.NodeStatusRequest{Group: g.name, From: p.node.ID(), Round: round})
		}
	}
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	told := map[string]*messages.MemberStatus{}
	for len(missing) > 0 {
		select {
		case m := <-answers:
			if missing[m.GetFrom()] && m.GetStatus() != nil {
				delete(missing, m.GetFrom())
				told[m.GetFrom()] = m.GetStatus()
			}
		case <-timer.C:
			return told
		case <-ctx.Done():
			return told
		}
	}
	return told
}

// memberStatus is what this node tells of its server.
func (g *Group) memberStatus() *messages.MemberStatus {
	s := g.Status()
	m := &messages.MemberStatus{
		Id: g.node.ID(), Term: s.Term, CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex, LastIndex: s.LastIndex,
		Reachable: true, PeerAddress: g.node.PeerAddr(), ClientAddress: g.node.ClientAddr(),
		LeaderId: s.LeaderID,
	}
	if s.Role != actors.Failed && s.Role != actors.Stopped {
		m.Role = s.Role.String()
	}
	if err := g.failed(s); err != nil {
		m.Error = err.Error()
	}
	return m
}

// failed says why the server can promise nothing any more, or nil.
func (g *Group) failed(s actors.Status) error {
	if err := g.node.Failed(); err != nil {
		return err
	}
	switch {
	case s.Err != nil:
		return s.Err
	case s.Role == actors.Failed:
		return actors.ErrGroupFailed
	case s.Role == actors.Stopped:
		return actors.ErrClosed
	}
	return nil
}

// clusterStatus is the group as this node and, unless local, its peers see it.
func (g *Group) clusterStatus(ctx context.Context, local bool) *messages.StatusResponse {
	self := g.memberStatus()
	told := map[string]*messages.MemberStatus{self.Id: self}
	if !local {
		for id, m := range g.node.prober.ask(ctx, g) {
			told[id] = m
		}
	}
	response := &messages.StatusResponse{Group: g.name}
	leaderTerm := uint64(0)
	for _, member := range g.members {
		if local && member.ID != self.Id {
			continue
		}
		m := told[member.ID]
		if m == nil {
			m = &messages.MemberStatus{Error: "no answer within " + probeTime.String()}
		} else {
			m.Reachable = true
			if m.LeaderId != "" && m.Term >= leaderTerm {
				response.Leader, leaderTerm = m.LeaderId, m.Term
			}
		}
		m.Id, m.PeerAddress = member.ID, member.Address
		response.Members = append(response.Members, m)
	}
	return response
}
