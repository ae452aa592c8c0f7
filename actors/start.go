package actors

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"github.com/asynkron/protoactor-go/actor"
)

const machineName = "machine"

// actorName is what a group's server is called on every node.
func actorName(group string) string { return "raft/" + group }

// Start recovers a group's server from the store and spawns it. The server runs until its actor is stopped, and then answers
// all callers. A server is never restarted in place: what panics stays stopped until the node is restarted. A second
// server of a group must not be started on the same journal: a write of the first may still be in it.
func Start(root *actor.RootContext, c Config) (*Door, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Logger = c.Logger.With("node", c.ID, "group", c.Group)
	recovered, err := c.Store.Recover(c.Number)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", c.Group, err)
	}
	state, err := newState(&c, c.Store.Identity(), recovered)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", c.Group, err)
	}
	s := &server{state: state, c: &c, door: &Door{root: root, limits: c.Limits, clock: c.Clock}}
	s.door.beside.allowed = concurrent(c.Machine)
	s.door.restoring.Store(state.snapshot != nil)
	s.taking.keep = -1
	s.rng = rand.New(rand.NewPCG(c.Seed, hash(c.ID+"/"+c.Group)))
	return s.door, s.spawn(root)
}

func (s *server) spawn(root *actor.RootContext) error {
	if s.c.Reconfigured != nil {
		s.c.Reconfigured(s.configuration())
	}
	s.door.board.show(Status{
		Term: s.currentTerm, CommitIndex: s.commitIndex, LastIndex: s.log.last, DurableIndex: s.outbox.durable,
		Configuration: s.configuration(), Unready: s.noLeader(),
	})
	options := append([]actor.PropsOption{actor.WithGuardian(&stopForGood{func(p *panicked) {
		s.quiet.stir()
		s.c.Logger.Error("the group's server panicked and is stopped", "reason", p.reason, "stack", p.stack)
		err := fmt.Errorf("%w: its server panicked: %v", ErrGroupFailed, p.reason)
		status := s.door.Status()
		status.Role, status.Err, status.Unready = Failed, err, err
		s.door.board.show(status)
		s.door.close(err)
	}})}, s.c.Props...)
	name := actorName(s.group)
	// The door is complete before the server may use it.
	s.door.pid = actor.NewPID(root.ActorSystem().Address(), name)
	s.door.machine = actor.NewPID(root.ActorSystem().Address(), name+"/"+machineName)
	if _, err := root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return s }, options...), name); err != nil {
		return fmt.Errorf("group %s runs on this node already", s.group)
	}
	return nil
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}
