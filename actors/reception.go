package actors

import (
	"bytes"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// reception is the snapshot that a server receives.
type reception struct {
	digest   []byte
	index    uint64
	receiver *actor.PID
	// sender is the replicator, leader what it says of its server, as of the last chunk.
	sender *actor.PID
	leader *messages.Header
}

func (s *server) receiveInstallSnapshot(m *messages.InstallSnapshot) {
	if s.intact(m) {
		s.sees(m.Header.Term)
		s.role.installSnapshot(s, m)
	}
}

// snapshotReply says that this server is there, and its term.
func (s *server) snapshotReply(m *messages.InstallSnapshot) *messages.InstallSnapshotReply {
	return &messages.InstallSnapshotReply{Header: s.header(m.Header.From), Round: m.Round}
}

// refuseStaleSnapshot obeys rule 1: reply immediately if term < currentTerm.
func (s *server) refuseStaleSnapshot(m *messages.InstallSnapshot) bool {
	if m.Header.Term >= s.currentTerm {
		return false
	}
	s.send(s.ctx.Sender(), s.snapshotReply(m))
	return true
}

// installSnapshot: a chunk is contact with the leader, as AppendEntries is.
func (f *follower) installSnapshot(s *server, m *messages.InstallSnapshot) {
	if s.refuseStaleSnapshot(m) || !f.follows(s, m.Header.From) {
		return
	}
	reply := s.snapshotReply(m)
	lacks, err := s.lacks(m)
	switch {
	case err != nil:
		f.hear(s, m.Header.From)
		f.decline(s, m, err)
	case s.restoring != nil: // a snapshot is installed already: its acknowledgement follows the sync
		f.hear(s, m.Header.From)
		s.send(s.ctx.Sender(), reply)
	case !lacks:
		f.hear(s, m.Header.From)
		s.commitWith(m.Header, min(m.LastIncludedIndex, s.log.last)) // all of it is
		reply.LastIncludedIndex, reply.Digest, reply.Done = m.LastIncludedIndex, m.Digest, true
		s.send(s.ctx.Sender(), reply)
	default:
		f.hear(s, m.Header.From)
		f.ack.to, f.ack.leader = s.ctx.Sender(), m.Header.From
		s.receive(m, reply.Header)
	}
}

func (f *follower) decline(s *server, m *messages.InstallSnapshot, err error) {
	f.tell(s, "a snapshot is refused", m.Header.From, err)
	s.send(s.ctx.Sender(), &messages.InstallSnapshotReply{
		Header: s.header(m.Header.From), LastIncludedIndex: m.LastIncludedIndex, Digest: m.Digest, Round: m.Round, Error: err.Error(),
	})
}

// receive hands a chunk to the receiver of its file. A chunk of another file than before begins anew.
func (s *server) receive(m *messages.InstallSnapshot, reply *messages.Header) {
	if s.reception == nil || !bytes.Equal(s.reception.digest, m.Digest) {
		s.stopReception()
		s.c.Logger.Info("receives a snapshot", "from", m.Header.From, "index", m.LastIncludedIndex, "bytes", m.Bytes)
		s.reception = &reception{digest: m.Digest, index: m.LastIncludedIndex, receiver: s.spawnReceiver(m)}
	}
	s.reception.sender, s.reception.leader = s.ctx.Sender(), m.Header
	s.ctx.Send(s.reception.receiver, &chunk{m, reply, s.ctx.Sender()})
}

func (s *server) spawnReceiver(m *messages.InstallSnapshot) *actor.PID {
	s.spawned++
	props := actor.PropsFromProducer(func() actor.Actor {
		return &receiver{c: s.c, snapshot: &messages.Snapshot{
			LastIncludedIndex: m.LastIncludedIndex, LastIncludedTerm: m.LastIncludedTerm, Bytes: m.Bytes, Digest: m.Digest,
		}}
	}, s.c.Props...)
	pid, err := s.ctx.SpawnNamed(props, fmt.Sprintf("%s%d", receiverName, s.spawned))
	if err != nil {
		panic(err)
	}
	return pid
}

const receiverName = "receiver-"

func (s *server) stopReception() {
	if s.reception != nil {
		s.ctx.Stop(s.reception.receiver)
		s.reception = nil
	}
}

// receptionFailed: the next chunk begins anew.
func (s *server) receptionFailed(m *receptionFailed) {
	if s.reception != nil && string(s.reception.digest) == m.digest {
		s.c.Logger.Warn("a snapshot could not be received", "err", m.err)
		s.stopReception()
	}
}

// received installs a snapshot, unless the log has come to have all of it meanwhile. Who waits for a command that is in it does not learn
// its result.
func (s *server) received(m *received) {
	if s.reception == nil || !bytes.Equal(s.reception.digest, m.snapshot.Digest) {
		return // another one came before this was complete
	}
	from := *s.reception
	s.stopReception()
	index, term := m.snapshot.LastIncludedIndex, m.snapshot.LastIncludedTerm
	lacks := index > s.commitIndex && !s.log.holds(index, term) || index == 0 && s.log.last == 0
	if !lacks || s.restoring != nil {
		return // its file goes when the next one is taken
	}
	if err := s.install(m.snapshot, from.leader); err != nil {
		s.c.Logger.Error("a snapshot cannot be installed", "index", index, "err", err)
		s.send(from.sender, &messages.InstallSnapshotReply{
			Header: s.header(from.leader.From), LastIncludedIndex: index, Digest: m.snapshot.Digest, Error: err.Error(),
		})
		return
	}
	s.c.Logger.Info("installs a snapshot", "index", index, "term", term, "bytes", m.snapshot.Bytes)
	s.dropWaiters(0, ErrOutcomeUnknown)
	s.restore(m.snapshot)
	s.role.installed(index)
}

// restore lets the machine load a snapshot (rule 8), when it is durable. Until then nothing is applied.
func (s *server) restore(snapshot *messages.Snapshot) {
	s.restoring = snapshot
	s.door.restoring.Store(true)
	s.taking.failures, s.taking.err = 0, nil
	s.outbox.hold(func() { s.ctx.Send(s.machine, &restore{snapshot}) })
	s.holdRetire()
}

func (s *server) restored(index, time uint64) {
	s.restoring = nil
	s.door.restoring.Store(false)
	s.lastApplied = max(s.lastApplied, index)
	s.logTime = max(s.logTime, time)
	s.role.applied(s)
}

// holdRetire lets the files of snapshots go that are older than the newest, when that is durable. Whatever comes to be the newest meanwhile
// is not: until it is, the file that is pointed to stays.
func (s *server) holdRetire() {
	keep := s.snapshot
	s.outbox.hold(func() { s.retire(keep) })
}

func (s *server) retire(keep *messages.Snapshot) { s.ctx.Send(s.c.Archive, &retire{s.c.Number, keep}) }
