package actors

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// server is the actor of one member of one group. Its mailbox serialises all that happens to its state, and never blocks: not on
// disk, not on the network, not on the state machine.
type server struct {
	state
	c    *Config
	door *Door
	rng  *rand.Rand

	ctx     actor.Context
	role    role
	alarm   alarm
	machine *actor.PID

	// waiters are the callers whose commands are in the log and not yet handed to the machine, in log order.
	waiters []waiter
	// handed is the apply that the machine has not confirmed, nil when it is idle.
	handed *apply

	leaderless leaderless
	// foundedElsewhere: a peer knows the group's cluster id.
	foundedElsewhere bool

	flushing  bool
	round     uint64 // of pre-votes
	spawned   int    // replicators so far: names are never used again
	proposals []proposal
	queries   []query
	before    snapshot
}

// role is follower, candidate, leader or failed: what Figure 2 says about a server in that role, with the state that only that
// role has. Changing role is one assignment, in become.
type role interface {
	kind() Role
	enter(*server)
	leave(*server)
	// hearsLeader says whether a leader is known to be alive, so that candidates are refused (thesis 4.2.3).
	hearsLeader(*server) bool
	voteReply(*server, *messages.RequestVoteReply)
	appendEntries(*server, *messages.AppendEntries)
	// callers takes what waits at the door.
	callers(*server, []proposal, []query)
	// timeout is the role's deadline passing.
	timeout(*server)
	// synced: more of what this server staged is durable.
	synced(*server)
	// mail is what only the role's own children and neighbours send.
	mail(*server, any)
}

func (s *server) Receive(ctx actor.Context) {
	s.ctx = ctx
	if f, ok := s.role.(*failed); ok {
		f.receive(s, ctx.Message())
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.start()
	case *actor.Stopping:
		s.stop()
		return
	case *actor.Stopped, *actor.Terminated, *actor.DeadLetterResponse:
		return // late replicators, and mail that found nobody
	case *messages.RequestVote:
		s.requestVote(m)
	case *messages.RequestVoteReply:
		s.voteReply(m)
	case *messages.AppendEntries:
		s.appendEntries(m)
	case bell:
		s.answerDoor()
	case flush:
		s.flush()
	case *synced:
		s.synced(m.batch)
	case *applied:
		s.applied(m.index)
	case wake:
		s.wake(m)
	case *storageFailed:
		s.fail(fmt.Errorf("%w (%w)", ErrStorageFailed, m.err))
	default:
		s.role.mail(s, m)
	}
	s.finish()
}

// finish ends the handling of every message.
func (s *server) finish() {
	if s.role.kind() == Failed {
		s.publish()
		return
	}
	if s.outbox.ready() && !s.flushing {
		s.flushing = true
		s.ctx.Send(s.ctx.Self(), flush{})
	}
	s.apply()
	s.watchLeader()
	s.checkInvariants()
	s.publish()
	s.observe()
}

func (s *server) start() {
	s.machine = s.spawnMachine()
	s.door.opened()
	s.become(&follower{})
	s.resetElectionTimer()
}

// stop ends all that wait for this server; its children end with it.
func (s *server) stop() {
	s.door.close(ErrClosed)
	err := s.door.refusal()
	s.dropWaiters(0, ErrOutcomeUnknown)
	s.dropHanded()
	if s.machine == nil {
		s.door.refuseLookups() // nobody else will
	}
	if s.role != nil {
		s.role.leave(s)
	}
	proposals, queries := s.door.take(nil, nil)
	s.door.refuse(proposals, queries, err)
	status := s.door.Status()
	if status.Role != Failed {
		status.Role, status.Err, status.Unready = Stopped, err, err
	}
	s.door.board.show(status)
}

// become changes role.
func (s *server) become(r role) {
	if s.role != nil {
		s.role.leave(s)
	}
	s.role = r
	s.c.Logger.Debug("role", "role", r.kind(), "term", s.currentTerm)
	r.enter(s)
}

// sees obeys the rule for all servers: if RPC request or response contains term T > currentTerm, set currentTerm = T, convert to
// follower (section 5.1).
func (s *server) sees(term uint64) {
	if term > s.currentTerm {
		s.setTerm(term)
		s.become(&follower{})
	}
}

func (s *server) requestVote(m *messages.RequestVote) {
	if !m.Intact() || !s.admits(m.Header) {
		return
	}
	from := s.peers.of(m.Header.From).pid
	// A server that hears a leader refuses candidates and does not adopt their term: they may have been cut off, or removed
	// (thesis 4.2.3).
	if s.role.hearsLeader(s) && m.Header.From != s.leaderID() {
		s.send(from, &messages.RequestVoteReply{Header: s.header(m.Header.From), PreVote: m.PreVote, Round: m.Round})
		return
	}
	if m.PreVote {
		reply := s.state.preVote(m)
		reply.Granted = reply.Granted && !s.stalled() // a vote would not leave in time
		s.send(from, reply)
		return
	}
	s.sees(m.Header.Term)
	reply := s.state.requestVote(m)
	if !reply.Granted {
		s.send(from, reply)
		return
	}
	s.resetElectionTimer()
	s.outbox.hold(func() {
		if s.currentTerm == reply.Header.Term {
			s.send(from, reply)
		}
	})
}

// stalled says whether this server's disk stands still: it does not campaign, and promises nobody its vote.
func (s *server) stalled() bool { return s.outbox.stalled(s.c.Clock.Now().Add(-s.c.Timing.DiskStall)) }

func (s *server) voteReply(m *messages.RequestVoteReply) {
	if m.Intact() && s.admits(m.Header) {
		s.sees(m.Header.Term)
		s.role.voteReply(s, m)
	}
}

func (s *server) appendEntries(m *messages.AppendEntries) {
	if m.Intact() && s.admits(m.Header) {
		s.sees(m.Header.Term)
		s.role.appendEntries(s, m)
	}
}

// refuseStale answers an AppendEntries of an earlier term: its sender learns the present one.
func (s *server) refuseStale(m *messages.AppendEntries) bool {
	if m.Header.Term >= s.currentTerm {
		return false
	}
	reply, _, _ := s.state.appendEntries(m)
	s.send(s.ctx.Sender(), reply)
	return true
}

// rpc is a message to another server.
type rpc interface{ Seal() }

// send seals a message and sends it; to is nil when nobody waits for it.
func (s *server) send(to *actor.PID, m rpc) {
	if to != nil {
		m.Seal()
		s.ctx.Send(to, m)
	}
}

func (s *server) answerDoor() {
	s.proposals, s.queries = s.door.take(s.proposals, s.queries)
	s.role.callers(s, s.proposals, s.queries)
}

// flush hands what was staged to the journal.
func (s *server) flush() {
	s.flushing = false
	if !s.outbox.ready() {
		return
	}
	if l, ok := s.role.(*leader); ok {
		// The leader's AppendEntries may leave before its own sync (thesis 10.2.1): they promise nothing about its disk.
		l.replicate(s)
	}
	s.ctx.Send(s.c.Journal, &write{s.seal(s.c.Clock.Now()), s.ctx.Self()})
}

func (s *server) synced(b *batch) {
	s.outbox.synced(b)
	s.role.synced(s)
	s.log.forget(s.outbox.durable, s.c.Limits.TailBytes, s.c.Limits.TailEntries)
}

// fail ends this server's part for good: it promises nothing any more, and says why.
func (s *server) fail(err error) {
	s.c.Logger.Error("the group's server failed on this node", "err", err)
	s.dropWaiters(0, fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err))
	if l, ok := s.role.(*leader); ok {
		l.reads.refuse(s.door, err)
	}
	s.become(&failed{err})
}

func (s *server) leaderID() string {
	switch r := s.role.(type) {
	case *leader:
		return s.id
	case *follower:
		return r.leader
	}
	return ""
}

// notLeader is what callers learn from a server that does not lead.
func (s *server) notLeader() error {
	if f, ok := s.role.(*follower); ok && f.leader != "" {
		return &NotLeaderError{LeaderID: f.leader, ClientAddress: f.clientAddress}
	}
	return &NotLeaderError{Reason: s.noLeader()}
}

// publish shows the state at the door.
func (s *server) publish() {
	now := Status{
		Role: s.role.kind(), Term: s.currentTerm, LeaderID: s.leaderID(), CommitIndex: s.commitIndex, AppliedIndex: s.lastApplied,
		LastIndex: s.log.last, DurableIndex: s.outbox.durable, ClusterID: s.clusterID, Unready: s.unready(),
	}
	switch r := s.role.(type) {
	case *leader:
		now.ClientAddress = s.c.ClientAddress
		now.Ready = s.commitIndex >= r.firstOfTerm
	case *follower:
		now.ClientAddress = r.clientAddress
	case *failed:
		now.Err = r.err
	}
	s.door.board.show(now)
}

// randomTimeout is drawn from [T, 2T] (section 5.2).
func (s *server) randomTimeout() time.Duration {
	return s.c.Timing.Election + time.Duration(s.rng.Int64N(int64(s.c.Timing.Election)+1))
}

func (s *server) resetElectionTimer() { s.setAlarm(s.randomTimeout()) }
