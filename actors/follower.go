package actors

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// follower responds to RPCs from candidates and leaders (section 5.2).
type follower struct {
	leader        string
	clientAddress string
	heard         time.Time
	ack           acknowledgement
	pace          pace
	dropped       string // why the last message was dropped, to log it once
	// tooOld: the leader's entries are of a newer version.
	tooOld error
	// What this server's callers asked the leader for.
	forwarding forwarding
	atLeader   readsAtLeader
	repeated   time.Time // when what may have been lost was last looked after
	active
}

// acknowledgement is what the follower owes its leader: a claim of what is durable, each time that more is.
type acknowledgement struct {
	to     *actor.PID
	leader string
	// verified is the last index known to equal the leader's log, claimed the last one that the leader was told is durable.
	verified, claimed uint64
	// round is the leader's last one, answered is the last one that the leader had an answer to.
	round, answered uint64
	// promised is the last round that asked for a promise, and got it.
	promised uint64
}

func (f *follower) kind() Role { return Follower }

// enter leaves the election timer as it is: a candidate that is refused must not hold up the others by raising their terms.
func (f *follower) enter(*server) {}

func (f *follower) leaderID(*server) string { return f.leader }

func (f *follower) hearsLeader(s *server) bool {
	return f.leader != "" && s.c.Clock.Now().Sub(f.lastHeard(s)) < s.c.Timing.Election
}

func (f *follower) appendEntries(s *server, m *messages.AppendEntries) {
	if s.refuseStale(m) {
		return
	}
	if !f.follows(s, m.Header.From) {
		return
	}
	if len(m.Entries) > 0 && s.overrun() {
		return // the leader's next heartbeat shows what is missing
	}
	reply, verified, err := s.state.appendEntries(m)
	if err != nil {
		f.drop(s, m, err)
		return
	}
	f.hear(s, m.Header.From)
	if s.reception != nil && verified >= s.reception.index && s.log.last > 0 {
		s.stopReception() // the log goes on without the snapshot
	}
	if len(m.Entries) == 0 {
		f.clientAddress = m.ClientAddress
	} else if reply.Success {
		f.tooOld = nil
	}
	f.pace.measure(m.LeaderCommit, s.lastApplied, f.heard, s.c.Timing.Election)
	if s.promises(m) {
		f.ack.promised = max(f.ack.promised, m.Round)
		reply.Promised = true
	}
	f.acknowledge(s, reply, verified)
	f.rest(s, reply, verified)
}

// follows says whether a message comes from the leader of the term, or from the first to say that it is.
func (f *follower) follows(s *server, from string) bool {
	if f.leader == "" || f.leader == from {
		return true
	}
	s.c.Logger.Error("two leaders in one term: the second is ignored", "term", s.currentTerm, "first", f.leader, "second", from)
	return false
}

// hear takes note that the leader is alive.
func (f *follower) hear(s *server, from string) {
	f.leader, f.heard, s.toldLeft = from, s.c.Clock.Now(), 0
	s.resetElectionTimer()
	if f.heard.Sub(f.repeated) >= s.c.Timing.Heartbeat {
		f.repeated = f.heard
		f.repeatLost(s)
	}
}

// drop tells the log why a message is not taken. It tells the leader, too, when only a newer version can take it.
func (f *follower) drop(s *server, m *messages.AppendEntries, err error) {
	what, tooOld := "a damaged message is dropped", TooOldError{}
	switch {
	case errors.Is(err, errNeedsOrigin):
		f.hear(s, m.Header.From)
		s.send(s.ctx.Sender(), &messages.AppendEntriesReply{Header: s.header(m.Header.From), Round: m.Round, NeedsSnapshot: true})
		return
	case errors.As(err, &tooOld):
		what = "what the leader sends is refused"
		f.tooOld = tooOld
		f.hear(s, m.Header.From)
		s.send(s.ctx.Sender(), &messages.AppendEntriesReply{Header: s.header(m.Header.From), Error: err.Error()})
	}
	f.tell(s, what, m.Header.From, err)
}

// tell logs why something is not taken, once.
func (f *follower) tell(s *server, what, from string, err error) {
	if why := err.Error(); why != f.dropped {
		s.c.Logger.Warn(what, "from", from, "err", err)
		f.dropped = why
	}
}

// overrun says whether far more waits for the disk than any leader that keeps to its window may send.
func (s *server) overrun() bool {
	return s.log.tailBytes > s.c.Limits.TailBytes+8*s.c.Limits.InflightBytes
}

// acknowledge replies at once if that tells the leader something: a refusal, a new round, or all that it will ever hear about
// this message. Otherwise the reply follows the sync.
func (f *follower) acknowledge(s *server, reply *messages.AppendEntriesReply, verified uint64) {
	a := &f.ack
	a.to, a.leader = s.ctx.Sender(), reply.Header.To
	a.verified, a.round = max(a.verified, verified), max(a.round, reply.Round)
	if reply.Success && reply.MatchIndex < verified && reply.Round <= a.answered {
		return
	}
	a.answered = max(a.answered, reply.Round)
	a.claimed = max(a.claimed, reply.MatchIndex)
	s.send(a.to, reply)
}

func (f *follower) leave(s *server) { f.stopForwarding(s) }

func (f *follower) refuse(s *server, err error) { f.atLeader.refuse(s.door, err) }

// installed: the log equals the leader's up to the end of a snapshot.
func (f *follower) installed(index uint64) { f.ack.verified = max(f.ack.verified, index) }

// synced claims what became durable.
func (f *follower) synced(s *server, _ *batch) {
	a := &f.ack
	match := min(a.verified, s.outbox.durable)
	if match <= a.claimed {
		return
	}
	a.claimed, a.answered = match, a.round
	s.send(a.to, &messages.AppendEntriesReply{
		Header: s.header(a.leader), Success: true, MatchIndex: match, Round: a.round, Promised: a.promised > 0 && a.promised == a.round,
	})
}

// applied measures how far this server is behind what its leader has committed.
func (f *follower) applied(s *server) {
	if f.leader != "" {
		f.pace.measure(f.pace.commit, s.lastApplied, s.c.Clock.Now(), s.c.Timing.Election)
	}
}

func (f *follower) describe(s *server, status *Status) {
	status.ClientAddress = f.clientAddress
	switch {
	case f.tooOld != nil:
		status.Unready = f.tooOld
	case f.leader != "":
		status.Unready = f.pace.unready()
	default:
		status.Unready = s.noLeader()
	}
}

// notLeader names the leader, if one is known.
func (f *follower) notLeader(s *server) error {
	if f.leader == "" {
		return f.active.notLeader(s)
	}
	return &NotLeaderError{LeaderID: f.leader, ClientAddress: f.clientAddress}
}

// timeout: if election timeout elapses without receiving AppendEntries RPC from current leader or granting vote to candidate,
// convert to candidate (section 5.2). Who promised a leader not to stand waits until that is over: only followers promise, and only here a
// follower stands.
func (f *follower) timeout(s *server) {
	if wait := s.promise.left("", s.c.Clock.Now()); wait > 0 {
		s.setAlarm(wait + time.Duration(s.rng.Int64N(int64(s.c.Timing.Heartbeat))))
		return
	}
	if f.sleeps(s) {
		return
	}
	if f.leader == "" && !s.mayLead() {
		s.tellNoLeader() // a candidate tells it later
	}
	s.campaign()
}

func (f *follower) mail(s *server, m any) {
	switch m := m.(type) {
	case *messages.ForwardReply:
		f.forwardReply(s, m)
	case *messages.ReadIndexReply:
		f.readIndexReply(s, m)
	case *messages.TimeoutNow:
		f.timeoutNow(s, m)
	case *connectionLost:
		f.connectionLost(s, m)
	case unheard:
		f.unheard(s)
	}
}

func (f *follower) connectionLost(s *server, lost *connectionLost) {
	if f.leader == "" {
		return
	}
	if p := s.peers.at(lost.address); p != nil && p.ID == f.leader {
		// Never more than a hint: a leader that lives is heard again before a majority has the same suspicion.
		f.leader, f.clientAddress = "", ""
		f.stopForwarding(s)
		s.setAlarm(time.Duration(s.rng.Int64N(int64(s.c.Timing.Heartbeat))))
	}
}
