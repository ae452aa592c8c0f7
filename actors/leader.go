package actors

import (
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// leader replicates its log to its followers, one replicator each, and commits what a majority holds (section 5.3).
type leader struct {
	// Volatile state on leaders, reinitialized after election; in the order of the membership. nextIndex is the replicators'.
	matchIndex []uint64
	// rounds are the last ones answered by each server, heard is when.
	rounds []uint64
	heard  []time.Time

	replicators []*actor.PID
	// round is the present one: what answers it was sent after it began.
	round uint64
	// sent is the last index given to the replicators.
	sent uint64
	// firstOfTerm is the index of the term's first entry: nothing is read before it is committed (section 8).
	firstOfTerm uint64
	reads       reads
	pace        pace
}

func (l *leader) kind() Role { return Leader }

func (l *leader) enter(s *server) {
	n := len(s.members.voters)
	l.matchIndex, l.rounds, l.heard = make([]uint64, n), make([]uint64, n), make([]time.Time, n)
	now := s.c.Clock.Now()
	for i := range l.heard {
		l.heard[i] = now
	}
	l.sent = s.log.last
	l.firstOfTerm = l.sent + 1
	s.c.Logger.Info("leads", "term", s.currentTerm, "from", l.firstOfTerm)
	l.begin(s)
	for i := range s.members.voters {
		if i != s.members.self {
			l.replicators = append(l.replicators, l.spawnReplicator(s, i))
		}
	}
	s.setAlarm(s.c.Timing.Heartbeat)
	l.beat(s, false)
}

// begin appends the no-op of the term (section 8): with it, all earlier entries can be committed (section 5.4.2). The group's first
// one founds it.
func (l *leader) begin(s *server) {
	if s.log.last > 0 {
		s.append(s.currentTerm, messages.Entry_KIND_NOOP, nil)
		return
	}
	s.found(s.rng.Uint64())
}

func (l *leader) spawnReplicator(s *server, place int) *actor.PID {
	to := s.members.voters[place]
	s.spawned++
	first := replicator{
		c: s.c, peer: place, to: to, target: s.peers.all[place].pid, header: s.header(to.ID), term: s.currentTerm, store: s.peers.all[place].store,
		nextIndex: l.sent + 1, prevTerm: s.log.term(l.sent), last: l.sent, commit: s.commitIndex,
	}
	props := actor.PropsFromProducer(func() actor.Actor { r := first; return &r }, s.c.Props...)
	pid, err := s.ctx.SpawnNamed(props, fmt.Sprintf("replicator-%s-%d-%d", to.ID, s.currentTerm, s.spawned))
	if err != nil {
		panic(err)
	}
	return pid
}

// leave stops leading: nobody waits for what this leadership might still have done.
func (l *leader) leave(s *server) {
	for _, r := range l.replicators {
		s.ctx.Stop(r)
	}
	l.reads.refuse(s.door, s.notLeader())
	s.dropWaiters(s.commitIndex, ErrOutcomeUnknown)
	s.resetElectionTimer()
}

func (l *leader) hearsLeader(*server) bool                      { return true }
func (l *leader) voteReply(*server, *messages.RequestVoteReply) {} // of a candidacy that is over

func (l *leader) appendEntries(s *server, m *messages.AppendEntries) {
	if !s.refuseStale(m) {
		s.c.Logger.Error("another leader in the same term is ignored", "term", s.currentTerm, "other", m.Header.From)
	}
}

// callers: if command received from client, append entry to local log, respond after entry applied to state machine (section 5.3).
func (l *leader) callers(s *server, proposals []proposal, queries []query) {
	s.appendCommands(proposals)
	for i, p := range proposals {
		s.waiters = append(s.waiters, waiter{s.log.last - uint64(len(proposals)-1-i), len(p.command), p.caller})
	}
	l.reads.arrive(queries)
	l.read(s)
}

// replicate gives the replicators what was appended since the last time.
func (l *leader) replicate(s *server) {
	if l.sent == s.log.last {
		return
	}
	m := &appended{
		prevIndex: l.sent, prevTerm: s.log.term(l.sent), entries: s.log.slice(l.sent+1, s.log.last), commit: s.commitIndex,
	}
	l.sent = s.log.last
	for _, r := range l.replicators {
		s.ctx.Send(r, m)
	}
}

// timeout is the leader's heartbeat.
func (l *leader) timeout(s *server) {
	now := s.c.Clock.Now()
	switch {
	case !l.hearsMajority(s, now.Add(-s.c.Timing.Election)):
		s.c.Logger.Warn("steps down: no majority was heard for an election timeout", "term", s.currentTerm)
		s.become(&follower{})
	case s.stalled():
		s.c.Logger.Warn("steps down: the disk stands still", "term", s.currentTerm)
		s.become(&follower{})
	default:
		s.setAlarm(s.c.Timing.Heartbeat)
		l.beat(s, false)
		l.measure(s)
	}
}

// measure notes how far the leader's own machine is behind. Before an entry of its term is committed it does not know that.
func (l *leader) measure(s *server) {
	if s.commitIndex >= l.firstOfTerm {
		l.pace.measure(s.commitIndex, s.lastApplied, s.c.Clock.Now(), s.c.Timing.Election)
	}
}

// hearsMajority is check-quorum (section 6.2 of the thesis): a leader that was cut off must not go on as one.
func (l *leader) hearsMajority(s *server, since time.Time) bool {
	n := 1
	for i := range l.heard {
		if i != s.members.self && l.heard[i].After(since) {
			n++
		}
	}
	return n >= s.members.quorum()
}

// beat begins a round and renews the replicators' permission to send heartbeats.
func (l *leader) beat(s *server, now bool) {
	l.round++
	l.rounds[s.members.self] = l.round
	until := s.c.Clock.Now().Add(s.c.Timing.Election)
	m := &permit{round: l.round, commit: s.commitIndex, last: l.sent, header: s.header(""), until: until, now: now}
	for _, r := range l.replicators {
		s.ctx.Send(r, m)
	}
}

func (l *leader) mail(s *server, m any) {
	switch m := m.(type) {
	case *contact:
		l.contact(s, m)
	case *fetch:
		l.fetch(s, m)
	case *higherTerm:
		s.sees(m.term)
	case *connectionLost: // of a follower: its replicator finds out
	case *connectionMade:
		// A follower that was restarted knows no leader, and may lack entries.
		if slices.ContainsFunc(s.members.voters, func(v Member) bool { return v.Address == m.address }) {
			l.beat(s, true)
		}
	}
}

func (l *leader) contact(s *server, m *contact) {
	if !s.admits(m.header) || m.header.Term != s.currentTerm || !s.counts(m.header.From) {
		return
	}
	if m.round > l.rounds[m.peer] {
		l.rounds[m.peer], l.heard[m.peer] = m.round, s.c.Clock.Now()
		l.confirmReads(s)
	}
	if m.match > l.matchIndex[m.peer] && m.match <= s.log.last {
		l.matchIndex[m.peer] = m.match
		l.advance(s)
	}
}

// synced: the leader counts itself only with what is durable.
func (l *leader) synced(s *server) {
	l.matchIndex[s.members.self] = s.outbox.durable
	l.advance(s)
}

func (l *leader) advance(s *server) {
	if n := s.committedBy(l.matchIndex); n > s.commitIndex {
		s.commit(n)
		if l.pace.since.IsZero() {
			l.measure(s)
		}
		l.read(s)
	}
}

// fetch answers a replicator with entries of the log's tail, or says that they are in the store.
func (l *leader) fetch(s *server, m *fetch) {
	if m.term != s.currentTerm {
		return
	}
	prev := min(s.log.lastAtMost(m.index, m.maxTerm), l.sent)
	reply := &fetched{prevIndex: prev, prevTerm: s.log.term(prev), last: min(s.log.tailFirst-1, l.sent)}
	if prev+1 >= s.log.tailFirst {
		reply.entries, reply.last = s.log.slice(prev+1, l.sent), l.sent
	} else {
		reply.inStore = true
	}
	s.ctx.Send(m.replicator, reply)
}
