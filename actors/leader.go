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
	// all are the members, this server included: volatile state on leaders, reinitialized after election.
	all progresses
	// round is the present one: what answers it was sent after it began.
	round uint64
	// sent is the last index given to the replicators.
	sent uint64
	// firstOfTerm is the index of the term's first entry: nothing is read before it is committed (section 8).
	firstOfTerm uint64
	reads       reads
	lease       lease
	pace        pace
	cohort      cohort
	change      *proposal // a caller's, while a joint phase lasts
	handover    handover
	logClock    logClock
	taken       taken
	quiescence  quiescence
	active
}

func (l *leader) kind() Role { return Leader }

func (l *leader) enter(s *server) {
	l.sent = s.log.last
	l.firstOfTerm = l.sent + 1
	l.cohort.last = l.sent
	s.c.Logger.Info("leads", "term", s.currentTerm, "from", l.firstOfTerm)
	l.begin(s)
	now := s.c.Clock.Now()
	l.quiescence.used = now
	l.logClock = logClock{base: s.logTime, since: now, stamped: now}
	l.taken = taken{}
	l.all = progresses{{id: s.id, level: s.level, heard: now}}
	l.reconcile(s)
	l.raiseLevel(s) // a leader without followers hears nobody
	s.setAlarm(s.c.Timing.Heartbeat)
	l.beat(s, nil)
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

func (l *leader) spawnReplicator(s *server, to *peer) *actor.PID {
	s.spawned++
	first := replicator{
		c: s.c, to: to.ID, target: to.pid, header: s.header(to.ID), term: s.currentTerm, storeID: to.pinnedStore,
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
	l.endRest(s)
	l.endLease(s)
	for _, p := range l.all {
		if p.replicator != nil {
			s.ctx.Stop(p.replicator)
		}
	}
	s.door.board.showReplication(nil)
	l.refuse(s, l.notLeader(s))
	if l.change != nil {
		s.door.refuse([]proposal{*l.change}, nil, ErrOutcomeUnknown)
	}
	s.dropWaiters(s.commitIndex, ErrOutcomeUnknown)
	l.handoverOver(s, nil)
	s.resetElectionTimer()
}

func (l *leader) hearsLeader(*server) bool  { return true }
func (l *leader) leaderID(s *server) string { return s.id }
func (l *leader) members() progresses       { return l.all }
func (l *leader) gathers(s *server) bool    { return l.cohort.gathers(s) }
func (l *leader) refuse(s *server, e error) { l.reads.refuse(s.door, e) }

func (l *leader) describe(s *server, status *Status) {
	status.ClientAddress = s.c.ClientAddress
	status.Ready = s.commitIndex >= l.firstOfTerm
	if status.Unready = l.pace.unready(); !status.Ready {
		status.Unready = ErrNothingCommitted
	}
	if l.handover.to != "" {
		status.Ready, status.Unready = false, ErrHandingOver
	}
}

// tell mails something to the replicators.
func (l *leader) tell(s *server, m any) {
	for _, p := range l.all {
		if p.replicator != nil {
			s.ctx.Send(p.replicator, m)
		}
	}
}

func (l *leader) appendEntries(s *server, m *messages.AppendEntries) {
	if !s.refuseStale(m) {
		l.ignore(s, m.Header.From)
	}
}

func (l *leader) installSnapshot(s *server, m *messages.InstallSnapshot) {
	if !s.refuseStaleSnapshot(m) {
		l.ignore(s, m.Header.From)
	}
}

func (l *leader) ignore(s *server, other string) {
	s.c.Logger.Error("another leader in the same term is ignored", "term", s.currentTerm, "other", other)
}

// callers: if command received from client, append entry to local log, respond after entry applied to state machine (section 5.3).
func (l *leader) callers(s *server, proposals []proposal, queries []query) {
	l.quiescence.used = s.c.Clock.Now()
	if l.handover.to != "" {
		s.door.refuse(proposals, nil, &NotLeaderError{Reason: ErrHandingOver})
		proposals = nil
	}
	proposals = l.accepted(s, l.changes(s, proposals))
	if len(proposals) > 0 {
		s.appendProposals(proposals, l.stamp(s))
	}
	for i, p := range proposals {
		s.waiters = append(s.waiters, waiter{s.log.last - uint64(len(proposals)-1-i), p.bytes(), p.caller})
	}
	l.reads.arrive(l.readByLease(s, queries))
	l.read(s)
}

// flushed gives the replicators what was appended since the last time. It may leave before the leader's own sync (thesis 10.2.1): it
// promises nothing about its disk.
func (l *leader) flushed(s *server) {
	if l.sent == s.log.last {
		return
	}
	m := &appended{
		prevIndex: l.sent, prevTerm: s.log.term(l.sent), entries: s.log.slice(l.sent+1, s.log.last), commit: s.commitIndex,
	}
	l.sent = s.log.last
	l.quiescence.used = s.c.Clock.Now()
	l.tell(s, m)
}

// timeout is the leader's heartbeat.
func (l *leader) timeout(s *server) {
	l.hearPulse(s)
	now := s.c.Clock.Now()
	if l.handover.to != "" && !now.Before(l.handover.until) {
		l.handoverOver(s, ErrNotTakenOver)
		if l.retires(s) {
			s.become(&follower{})
			return
		}
	}
	switch {
	case !l.hearsMajority(s, now.Add(-s.c.Timing.Election)):
		s.c.Logger.Warn("steps down: no majority was heard for an election timeout", "term", s.currentTerm)
		s.become(&follower{})
	case s.stalled() && l.handover.to == "" && l.handsOver(s, "") != nil:
		s.c.Logger.Warn("steps down: the disk stands still", "term", s.currentTerm)
		s.become(&follower{})
	case l.rests(s):
		l.rest(s)
	case l.quiescence.is:
		l.stir(s, l.all)
	default:
		s.setAlarm(s.c.Timing.Heartbeat)
		l.beat(s, nil)
		l.askToStand(s)
		l.follow(s)
		l.measure(s)
		l.forget(s)
	}
}

func (l *leader) applied(s *server) { l.measure(s) }

// measure notes how far the leader's own machine is behind. Before an entry of its term is committed it does not know that.
func (l *leader) measure(s *server) {
	if s.commitIndex >= l.firstOfTerm {
		l.pace.measure(s.commitIndex, s.lastApplied, s.c.Clock.Now(), s.c.Timing.Election)
	}
}

// hearsMajority is check-quorum (section 6.2 of the thesis): a leader that was cut off must not go on as one.
func (l *leader) hearsMajority(s *server, since time.Time) bool {
	heard := l.all.heardSince(since)
	return s.configuration().Quorum().Heard(func(id string) bool { return id == s.id || heard(id) })
}

// beat begins a round and renews the replicators' permission to send heartbeats. Some members are asked at once.
func (l *leader) beat(s *server, atOnce progresses) {
	l.round++
	l.quiescence.begun(s, l.round)
	l.all.of(s.id).round = l.round
	until := s.c.Clock.Now().Add(s.c.Timing.Election)
	m := &permit{
		round: l.round, commit: s.commitIndex, last: l.sent, header: s.header(""), until: until, promise: l.askPromises(s),
	}
	asks := *m
	asks.now = true
	for _, p := range l.all {
		switch {
		case p.replicator == nil:
		case slices.Contains(atOnce, p):
			s.ctx.Send(p.replicator, &asks)
		default:
			s.ctx.Send(p.replicator, m)
		}
	}
	l.confirmLease(s) // of a leader whose own promise is enough
}

func (l *leader) mail(s *server, m any) {
	switch m := m.(type) {
	case *contact:
		l.contact(s, m)
	case *fetch:
		l.fetch(s, m)
	case *higherTerm:
		s.sees(m.term)
	case *moved:
		l.moved(s, m)
	case *messages.ReadIndex:
		l.readIndex(s, m)
	case gathered:
		l.cohort.timed = false
	case turn:
		l.turned(s)
	case late:
		l.late(s, m.round)
	case *connectionLost: // of a follower: its replicator finds out
	case *connectionMade:
		// A follower that was restarted knows no leader, and may lack entries.
		if s.peers.at(m.address) != nil {
			l.beat(s, l.all)
		}
	}
}

func (l *leader) contact(s *server, m *contact) {
	from := s.peers.of(m.header.GetFrom()) // who left counts as one, too
	if !s.admits(m.header, s.peers.isMember(from)) || m.header.Term != s.currentTerm || !s.counts(m.header.From) {
		return
	}
	p := l.all.of(m.header.From)
	if p == nil {
		return
	}
	if m.round > p.round {
		p.round, p.heard = m.round, s.c.Clock.Now()
		l.confirmReads(s)
	}
	if m.promised > p.promised {
		p.promised = m.promised
		l.confirmLease(s)
	}
	if p.level = m.header.Level; p.level > s.charter().level {
		l.raiseLevel(s)
	}
	if m.match > p.match && m.match <= s.log.last {
		p.match, p.rose = m.match, s.c.Clock.Now()
		if p.catchesUp {
			l.follows(s, p)
		}
		l.advance(s)
	}
	p.learner.reaches(s, p.match, l.firstOfTerm)
	l.release(s, p)
	if !l.handover.asked {
		l.askToStand(s)
	}
}

// raiseLevel appends the group's next feature level when every member, learners included, knows it.
func (l *leader) raiseLevel(s *server) {
	level := s.level
	for _, p := range l.all {
		if p.left == 0 {
			level = min(level, p.level)
		}
	}
	if level > s.charter().level {
		s.c.Logger.Info("the group's feature level rises", "from", s.charter().level, "to", level)
		s.append(s.currentTerm, messages.Entry_KIND_LEVEL, encode(&messages.FeatureLevel{Level: level}))
	}
}

// synced: the leader counts itself only with what is durable.
func (l *leader) synced(s *server, b *batch) {
	l.cohort.synced(s, b)
	l.all.of(s.id).match = s.outbox.durable
	l.advance(s)
}

func (l *leader) advance(s *server) {
	if n := s.committedBy(l.all.match); n > s.commitIndex {
		s.commit(n)
		s.door.beside.lease.committed.Store(n)
		if l.pace.since.IsZero() {
			l.measure(s)
		}
		l.read(s)
		l.settle(s)
	}
}

// instead is the snapshot that a follower needs because the entries that it lacks were cut; nil when they are there.
func (l *leader) instead(s *server, m *fetch) *messages.Snapshot {
	cut := m.index < s.log.compacted || s.log.term(s.log.lastAtMost(m.index, m.maxTerm)) > m.maxTerm
	if s.snapshot != nil && (cut || m.needsSnapshot) {
		return s.snapshot
	}
	return nil
}

// moved notes what a replicator does.
func (l *leader) moved(s *server, m *moved) {
	p := l.all.of(m.member)
	if p == nil || m.term != s.currentTerm {
		return
	}
	if p.does = *m; m.mode != installing && p.installing != nil {
		p.installing, p.catchesUp = nil, true
	}
	p.movedAt = s.c.Clock.Now()
	s.door.board.showReplication(l.replication())
}

// follows notes that a member that got a snapshot gets the log behind it, until it lacks no more than is kept anyway.
func (l *leader) follows(s *server, p *progress) {
	p.movedAt = s.c.Clock.Now()
	p.catchesUp = s.log.sizes.between(p.match, s.log.last) > s.c.Limits.logKeep(s.snapshot.GetBytes())
}

// needed keeps what a transfer under way will need next, while it moves.
func (l *leader) needed(s *server) uint64 {
	needed := uint64(maxIndex)
	still := s.c.Clock.Now().Add(-20 * s.c.Timing.Election)
	for _, p := range l.all {
		switch {
		case !p.movedAt.After(still):
		case p.installing != nil:
			needed = min(needed, p.installing.LastIncludedIndex)
		case p.catchesUp:
			needed = min(needed, max(p.match, s.log.compacted))
		}
	}
	return needed
}

// replication is what status says of the followers.
func (l *leader) replication() []Replication {
	var all []Replication
	for _, p := range l.all {
		if p.replicator != nil && p.left == 0 {
			all = append(all, Replication{p.id, p.does.mode.String(), p.does.progress})
		}
	}
	return all
}

// fetch answers a replicator with entries of the log's tail, or says that they are in the store.
func (l *leader) fetch(s *server, m *fetch) {
	if m.term != s.currentTerm {
		return
	}
	if snapshot := l.instead(s, m); snapshot != nil {
		if p := l.all.of(m.member); p != nil {
			p.installing, p.movedAt = snapshot, s.c.Clock.Now()
		}
		s.ctx.Send(m.replicator, &fetched{snapshot: snapshot})
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
