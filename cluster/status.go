package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// How long the others may take to answer.
const (
	probeTime  = 500 * time.Millisecond // a member that is connected
	dialTime   = 100 * time.Millisecond // one that is not: it may have just been started
	probeAgain = 50 * time.Millisecond  // a question may be lost, so it is asked again
	travelTime = 100 * time.Millisecond // at most kept for the answer's way to who asked
)

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
	for _, member := range g.Members() {
		if member.ID == m.GetFrom() {
			c.Send(actor.NewPID(member.Address, proberName), &messages.NodeStatusReply{
				From: p.node.ID(), Round: m.GetRound(), Status: g.memberStatus(), Replications: g.replications(),
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

// ask gathers what the group's other members say of themselves, by id. It ends in time for whoever waits for it.
func (p *prober) ask(ctx context.Context, g *Group) map[string]*messages.NodeStatusReply {
	ctx, cancel := inTime(ctx)
	defer cancel()
	members := g.Members()
	round, answers, forget := p.open(2 * len(members))
	defer forget()
	missing := map[string]actors.Member{}
	for _, m := range members {
		if m.ID != p.node.ID() {
			missing[m.ID] = m
		}
	}
	again := time.NewTicker(probeAgain)
	defer again.Stop()
	told := map[string]*messages.NodeStatusReply{}
	p.question(g, round, missing)
	for start := time.Now(); p.worthWaiting(missing, time.Since(start)); {
		select {
		case m := <-answers:
			if _, asked := missing[m.GetFrom()]; asked && m.GetStatus() != nil {
				delete(missing, m.GetFrom())
				told[m.GetFrom()] = m
			}
		case <-again.C:
			p.question(g, round, missing)
		case <-ctx.Done():
			return told
		}
	}
	return told
}

// inTime ends a context early enough for an answer to travel.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, has := ctx.Deadline()
	if !has {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	return context.WithDeadline(ctx, deadline.Add(-min(left/4, travelTime)))
}

// open begins a round of answers.
func (p *prober) open(most int) (round uint64, answers chan *messages.NodeStatusReply, forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round++
	round, answers = p.round, make(chan *messages.NodeStatusReply, most)
	p.pending[round] = answers
	return round, answers, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pending, round)
	}
}

func (p *prober) question(g *Group, round uint64, members map[string]actors.Member) {
	for _, m := range members {
		p.node.system.Root.Send(actor.NewPID(m.Address, proberName),
			&messages.NodeStatusRequest{Group: g.name, From: p.node.ID(), Round: round})
	}
}

// worthWaiting says whether any of the members may still answer.
func (p *prober) worthWaiting(members map[string]actors.Member, waited time.Duration) bool {
	for _, m := range members {
		if waited < dialTime || waited < probeTime && p.node.transport.Connected(m.Address) {
			return true
		}
	}
	return false
}

// memberStatus is what this node tells of its server.
func (g *Group) memberStatus() *messages.MemberStatus {
	s := g.Status()
	m := &messages.MemberStatus{
		Id: g.node.ID(), Term: s.Term, CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex, LastIndex: s.LastIndex,
		Reachable: true, PeerAddress: g.node.PeerAddr(), ClientAddress: g.node.ClientAddr(),
		LeaderId: s.LeaderID, FirstIndex: s.FirstIndex, LogBytes: uint64(s.LogBytes),
		SnapshotIndex: s.SnapshotIndex, SnapshotBytes: s.SnapshotBytes, StoreId: g.node.store.Identity().GetStoreId(),
	}
	if s.SnapshotErr != nil {
		m.SnapshotError = s.SnapshotErr.Error()
	}
	if s.Role != actors.Failed && s.Role != actors.Stopped {
		m.Role = s.Role.String()
	}
	if err := g.unready(s); err != nil {
		m.Error = err.Error()
	}
	return m
}

// replications are how this node's server sends to the others, if it leads.
func (g *Group) replications() []*messages.Replication {
	var all []*messages.Replication
	for _, r := range g.door.Replication() {
		all = append(all, &messages.Replication{Member: r.Member, Mode: r.Mode, Progress: r.Progress})
	}
	return all
}

// unready says what keeps the server from serving, or nil.
func (g *Group) unready(s actors.Status) error {
	if err := g.failed(s); err != nil {
		return err
	}
	return s.Unready
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
	self := g.node.ID()
	told := map[string]*messages.NodeStatusReply{}
	if !local {
		told = g.node.prober.ask(ctx, g)
	}
	told[self] = &messages.NodeStatusReply{Status: g.memberStatus(), Replications: g.replications()}
	response := &messages.StatusResponse{Group: g.name}
	leaderTerm := uint64(0)
	for _, member := range g.Members() {
		if local && member.ID != self {
			continue
		}
		m := told[member.ID].GetStatus()
		if m == nil {
			m = &messages.MemberStatus{Error: g.node.noAnswer(member)}
		} else {
			m.Reachable = true
			if m.StoreId != 0 && member.StoreID != 0 && m.StoreId != member.StoreID {
				m.Error = errOtherDirectory
			}
			if m.LeaderId != "" && m.Term >= leaderTerm {
				response.Leader, leaderTerm = m.LeaderId, m.Term
			}
		}
		m.Id, m.PeerAddress = member.ID, member.Address
		response.Members = append(response.Members, m)
	}
	addReplications(response, told[response.Leader].GetReplications())
	return response
}

// errOtherDirectory is of a member that was wiped, replaced or copied, whatever it says itself.
const errOtherDirectory = "it answers from another data directory than the group knows it by, and does not count: " +
	"give it its own back, or remove it and let it join anew"

// addReplications adds what the leader says of the others.
func addReplications(response *messages.StatusResponse, all []*messages.Replication) {
	for _, r := range all {
		for _, m := range response.Members {
			if m.Id == r.GetMember() {
				m.Replication, m.Progress = r.GetMode(), r.GetProgress()
			}
		}
	}
}

// noAnswer says what is known of a member that did not tell its status.
func (n *Node) noAnswer(m actors.Member) string {
	if n.transport.Connected(m.Address) {
		return "no answer in time: it is connected, and slow, paused or cut off"
	}
	return "no answer: it does not run, or cannot be reached from " + n.ID()
}
