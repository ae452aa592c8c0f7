package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// StartGroup starts this node's server of a group, with a state machine that is new and empty: the committed log is applied to
// it again.
//
// The list of members is for the group's founding, and must be the same on every node; the node's directory remembers it. A
// node that knows the group goes by what it remembers, with a warning when the list differs, and may be at another address than
// the list says. The first election needs all members, later ones a majority. The call returns when the server runs, not when the
// group has a leader.
func (n *Node) StartGroup(ctx context.Context, name string, members []actors.Member, machine actors.StateMachine) (*Group, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := checkName("group name", name); err != nil {
		return nil, err
	}
	if machine == nil {
		return nil, fmt.Errorf("group %s needs a state machine", name)
	}
	if err := checkMembers(members); err != nil {
		return nil, err
	}
	if n.store.KnownGroup(name) != nil {
		members = n.moved(members)
	}
	if err := checkSelf(n.config.ID, n.config.PeerAddr, members); err != nil {
		return nil, err
	}
	g := newGroup(name, n)
	if err := n.reserve(g); err != nil {
		return nil, err
	}
	defer n.unreserve(g)
	record, err := n.record(ctx, name, members)
	if err != nil {
		return nil, err
	}
	if err := n.launch(g, record, members, machine); err != nil {
		return nil, err
	}
	return g, nil
}

// moved is a list of founders with this node where it is now, which it tells the group by itself.
func (n *Node) moved(members []actors.Member) []actors.Member {
	members = slices.Clone(members)
	if i := indexOf(members, n.config.ID); i >= 0 {
		members[i].Address = n.config.PeerAddr
	}
	return members
}

// reserve keeps the name for one start, and Shutdown from passing it by.
func (n *Node) reserve(g *Group) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closing:
		return errStopping
	case n.groups[g.name] != nil || n.starting[g.name] != nil:
		return fmt.Errorf("group %s is started on this node already: use Node.Group to find it", g.name)
	}
	if err := n.Failed(); err != nil {
		return fmt.Errorf("group %s cannot be started: %w", g.name, err)
	}
	n.starting[g.name] = g
	n.starts.Add(1)
	return nil
}

// unreserve follows a start, whether it succeeded or not.
func (n *Node) unreserve(g *Group) {
	n.mu.Lock()
	delete(n.starting, g.name)
	n.started = time.Now()
	n.mu.Unlock()
	n.setPeers(g)
	n.starts.Done()
}

// record finds what the directory knows of the group, or founds it there. A slow disk holds up ctx no longer than it lasts.
func (n *Node) record(ctx context.Context, name string, members []actors.Member) (*messages.GroupRecord, error) {
	type found struct {
		record *messages.GroupRecord
		err    error
	}
	answer := make(chan found, 1)
	go func() {
		record, err := n.store.Group(name, toRecord(members))
		answer <- found{record, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("group %s was not started: %w", name, ctx.Err())
	case f := <-answer:
		if f.err == nil {
			n.tellOtherFounders(name, members, fromRecord(f.record.GetMembers()))
		}
		return f.record, f.err
	}
}

// tellOtherFounders warns of a list that is not the one of the founding. It may name where members are now.
func (n *Node) tellOtherFounders(name string, given, stored []actors.Member) {
	same := func(a, b actors.Member) bool { return a.ID == b.ID }
	if len(stored) > 0 && !slices.EqualFunc(sortedMembers(given), sortedMembers(stored), same) {
		n.log.Warn("the group was founded with other members: of the list given only addresses count",
			"group", name, "founded", stored, "given", given)
	}
}

// founders are those that a directory remembers, at the addresses that are given now.
func founders(record *messages.GroupRecord, given []actors.Member) []actors.Member {
	members := fromRecord(record.GetMembers())
	for i, m := range members {
		if at := indexOf(given, m.ID); at >= 0 {
			members[i].Address = given[at].Address
		}
	}
	return members
}

// launch starts a group. The server starts last: once it has run, a second one must not use its journal.
func (n *Node) launch(g *Group, record *messages.GroupRecord, given []actors.Member, machine actors.StateMachine) (err error) {
	if n.options.app != nil {
		if g.facade, err = spawnFacade(n.options.app, g); err != nil {
			return err
		}
	}
	if err := n.startServer(g, record, given, machine); err != nil {
		g.dropFacade()
		return err
	}
	g.courier = newCourier(g.door, !n.options.withoutForwarding)
	if n.options.app != nil {
		go g.watch(context.Background(), func(e Event) { n.options.app.EventStream.Publish(&e) })
	}
	close(g.launched)
	g.keepAddress(g.configuration.Load())
	n.mu.Lock()
	n.groups[g.name] = g
	n.order = append(n.order, g.name)
	n.mu.Unlock()
	// The disk may have failed before the store could know of this group.
	if err := n.Failed(); err != nil {
		g.door.StorageFailed(err)
	}
	return nil
}

// dropFacade is for a group that could not be started. Who has mailed to it by its name gets no answer.
func (g *Group) dropFacade() {
	if g.facade == nil {
		return
	}
	ended := g.node.options.app.Root.StopFuture(g.facade)
	close(g.stopped)
	_ = ended.Wait()
}

// startServer starts a group's server. The members given are hints where those are that the log names.
func (n *Node) startServer(g *Group, record *messages.GroupRecord, given []actors.Member, machine actors.StateMachine) (err error) {
	g.number, g.hints = persistence.GroupID(record.GetNumber()), given
	g.door, err = actors.Start(n.system.Root, actors.Config{
		Group: g.name, ID: n.config.ID, Members: founders(record, given), ClusterID: record.GetClusterId(), Hints: given,
		Reconfigured:      n.reconfigured(g),
		WithoutForwarding: n.options.withoutForwarding,
		ClientAddress:     n.ClientAddr(), Machine: machine,
		Shared: n.shared, Number: g.number,
		Clock: wallClock{n.system.Root}, Seed: randomSeed(), Logger: n.config.Logger,
		Timing: n.config.Timing, Limits: n.config.Limits, Props: n.props(),
	})
	return err
}

// reconfigured follows the configurations of a group's server. The peers are known before its first message.
func (n *Node) reconfigured(g *Group) func(*actors.Configuration) {
	return func(c *actors.Configuration) {
		if first := g.configuration.Swap(c) == nil; first {
			n.setPeers(g)
			return
		}
		n.workers.run(func() { n.setPeers(g) }) // a mailbox must not wait for connections
		g.keepAddress(c)
	}
}

// stopActor stops an actor and waits until it has stopped, or for ten seconds.
func stopActor(root *actor.RootContext, pid *actor.PID) {
	_ = root.StopFuture(pid).Wait()
}

func sortedMembers(members []actors.Member) []actors.Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b actors.Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return sorted
}
