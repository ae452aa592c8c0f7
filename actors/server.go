package actors

import (
	"cmp"
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
	quiet   quiet

	// waiters are the callers whose commands are in the log and not yet handed to the machine, in log order.
	waiters []waiter
	// handed is the apply that the machine has not confirmed, nil when it is idle.
	handed *apply

	// logTime is the highest that was applied, in milliseconds.
	logTime uint64

	// restoring is the snapshot that the machine is to load; nil: none.
	restoring *messages.Snapshot
	reception *reception
	known     readPoint
	taking    taking

	leaderless leaderless
	// toldLeft is the configuration with which this server left the group, as a member said while no leader was heard; 0: nobody did.
	toldLeft uint64
	// foundedElsewhere: a peer knows the group's cluster id.
	foundedElsewhere bool

	flushing  bool
	round     uint64 // of pre-votes
	number    uint64 // of what other members are asked
	spawned   int    // replicators so far: names are never used again
	proposals []proposal
	queries   []query
	before    before
}

func (s *server) Receive(ctx actor.Context) {
	s.ctx = ctx
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.start()
		s.finish()
	case *actor.Stopping:
		s.stop()
	case *actor.Stopped, *actor.Terminated, *actor.DeadLetterResponse:
		// late replicators, and mail that found nobody
	default:
		s.role.receive(s, m)
	}
}

// handle is what a server does with a message in the roles that take part in Raft.
func (s *server) handle(m any) {
	switch m := m.(type) {
	case *messages.RequestVote:
		s.receiveRequestVote(m)
	case *messages.RequestVoteReply:
		s.receiveVoteReply(m)
	case *messages.AppendEntries:
		s.receiveAppendEntries(m)
	case *messages.InstallSnapshot:
		s.receiveInstallSnapshot(m)
	case *messages.Forward:
		if s.intact(m) {
			s.role.forward(s, m)
		}
	case *messages.ForwardReply, *messages.ReadIndex, *messages.ReadIndexReply, *messages.TimeoutNow:
		if s.intact(m.(rpc)) {
			s.role.mail(s, m)
		}
	case *forwardReply:
		s.replyForward(m.member, m.number, m.outcomes)
	case bell:
		s.answerDoor()
	case flush:
		s.flush()
	case *synced:
		s.synced(m.batch)
	case *applied:
		s.applied(m.index, m.time)
	case wake:
		s.wake(m)
	case *storageFailed:
		s.fail(fmt.Errorf("%w (%w)", ErrStorageFailed, m.err))
	default:
		if !s.aboutSnapshots(m) {
			s.role.mail(s, m)
		}
	}
	s.finish()
}

// finish ends the handling of every message.
func (s *server) finish() {
	if s.role.kind() == Failed {
		s.publish()
		return
	}
	if s.outbox.ready() && !s.flushing && !s.role.gathers(s) {
		s.flushing = true
		s.ctx.Send(s.ctx.Self(), flush{})
	}
	s.apply()
	s.keepLogShort()
	s.watchLeader()
	s.checkInvariants()
	s.publish()
	s.observe()
}

func (s *server) start() {
	s.c.quiet.enter(s.group, &s.quiet, s.ctx.Self())
	s.machine = s.spawnMachine()
	if s.snapshot != nil {
		s.restoring = s.snapshot
		s.ctx.Send(s.machine, &restore{s.snapshot})
		s.retire(s.snapshot)
	}
	s.door.opened()
	s.keepPromises()
	s.become(&follower{})
	s.resetElectionTimer()
}

// stop ends all that wait for this server; its children end with it.
func (s *server) stop() {
	s.c.quiet.leave(s.group, &s.quiet)
	s.door.close(ErrClosed)
	err := s.door.refusal()
	s.dropWaiters(0, ErrOutcomeUnknown)
	s.dropHanded()
	s.wantSnapshot()
	s.endTaking(err)
	if s.machine == nil {
		s.door.refuseLookups() // nobody else will
	}
	if s.role == nil || s.role.kind() != Failed {
		s.become(&stopped{})
	}
	proposals, queries, handovers := s.door.take(nil, nil)
	s.door.refuse(proposals, queries, err)
	for _, call := range handovers {
		s.door.answerHandover(call, err)
	}
	status := s.door.Status()
	if status.Role != Failed {
		status.Role, status.Err, status.Unready = Stopped, err, err
	}
	s.door.board.show(status)
}

// become changes role.
func (s *server) become(r role) {
	s.stir()
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

func (s *server) receiveRequestVote(m *messages.RequestVote) {
	if !s.intact(m) {
		s.tellElsewhere(m)
		return
	}
	p := s.peers.of(m.Header.From)
	from := cmp.Or(s.ctx.Sender(), p.pid)
	p.disagrees = s.disagrees(m)
	// A server that hears a leader refuses candidates and does not adopt their term: they may have been cut off, or removed
	// (thesis 4.2.3). So does one that promised it to a leader (thesis 6.4.1).
	hears := s.role.hearsLeader(s) && m.Header.From != s.role.leaderID(s)
	if hears = hears || s.promise.left(m.Header.From, s.c.Clock.Now()) > 0; hears && !s.handedTo(m) {
		reply := &messages.RequestVoteReply{Header: s.header(m.Header.From), PreVote: m.PreVote, Round: m.Round, Removed: s.left(m)}
		s.send(from, reply)
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

func (s *server) receiveVoteReply(m *messages.RequestVoteReply) {
	if s.intact(m) {
		if !s.role.hearsLeader(s) { // a leader knows better
			s.toldLeft = max(s.toldLeft, m.Removed)
		}
		s.sees(m.Header.Term)
		s.role.voteReply(s, m)
	}
}

func (s *server) receiveAppendEntries(m *messages.AppendEntries) {
	if s.intact(m) {
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
type rpc interface {
	GetHeader() *messages.Header
	Seal()
	Intact() bool
}

// send seals a message and sends it; to is nil when nobody waits for it.
func (s *server) send(to *actor.PID, m rpc) {
	if to != nil {
		m.Seal()
		s.ctx.Send(to, m)
	}
}

// ask is send to who may not know where this server is.
func (s *server) ask(to *actor.PID, m rpc) {
	m.Seal()
	s.ctx.Request(to, m)
}

// sendTo sends to a member, or to somebody else who was heard.
func (s *server) sendTo(id string, m rpc) {
	if p := s.peers.of(id); p != nil {
		s.send(p.pid, m)
	}
}

func (s *server) answerDoor() {
	var handovers []handoverCall
	s.proposals, s.queries, handovers = s.door.take(s.proposals, s.queries)
	s.role.callers(s, s.proposals, s.readBounded(s.queries))
	for _, call := range handovers {
		s.role.handOver(s, call)
	}
}

// flush hands what was staged to the journal.
func (s *server) flush() {
	s.flushing = false
	if !s.outbox.ready() {
		return
	}
	s.role.flushed(s)
	s.ctx.Send(s.c.Journal, &write{s.seal(s.c.Clock.Now()), s.ctx.Self()})
}

func (s *server) synced(b *batch) {
	s.outbox.synced(b)
	s.role.synced(s, b)
	s.log.forget(s.outbox.durable, s.c.Limits.TailBytes, s.c.Limits.TailEntries)
}

// fail ends this server's part for good: it promises nothing any more, and says why.
func (s *server) fail(err error) {
	s.c.Logger.Error("the group's server failed on this node", "err", err)
	s.dropWaiters(0, fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err))
	s.role.refuse(s, err)
	s.become(&failed{err: err})
}

// publish shows the state at the door.
func (s *server) publish() {
	now := Status{
		Role: s.role.kind(), Term: s.currentTerm, LeaderID: s.role.leaderID(s), CommitIndex: s.commitIndex, AppliedIndex: s.lastApplied,
		LastIndex: s.log.last, DurableIndex: s.outbox.durable, ClusterID: s.clusterID, Configuration: s.configuration(),
		FirstIndex: s.log.compacted + 1, LogBytes: s.log.sizes.total(),
		SnapshotIndex: s.snapshot.GetLastIncludedIndex(), SnapshotBytes: s.snapshot.GetBytes(), SnapshotErr: s.taking.err,
	}
	s.role.describe(s, &now)
	if s.restoring != nil && now.Err == nil {
		now.Unready = ErrRestoring
	}
	if s.removed() && now.Err == nil {
		now.Unready = ErrRemoved
	}
	if by := s.disowners(); by != "" && now.Err == nil {
		now.Unready = NotCountedError{by}
	}
	if reconfigured := s.c.Reconfigured; reconfigured != nil && now.Configuration != s.door.board.configuration() {
		reconfigured(now.Configuration)
	}
	s.door.board.show(now)
}

// randomTimeout is drawn from [T, 2T] (section 5.2).
func (s *server) randomTimeout() time.Duration {
	return s.c.Timing.Election + time.Duration(s.rng.Int64N(int64(s.c.Timing.Election)+1))
}

func (s *server) resetElectionTimer() { s.setAlarm(s.randomTimeout()) }
