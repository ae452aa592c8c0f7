package simulation

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// newSnapshots is a cluster whose first node leads, and whose logs are cut behind snapshots of a few entries.
func newSnapshots(t *testing.T, nodes int) *scenario {
	t.Helper()
	s := newScenarioOf(t, Options{Nodes: nodes, Limits: actors.Limits{SnapshotAfter: 150, LogKeep: 1, ChunkBytes: 16}})
	s.elect(s.nodes[0])
	s.settled()
	return s
}

func installSnapshot(p packet) bool { return is[*messages.InstallSnapshot](p) }

// fill writes until the logs of all nodes that can be reached begin behind what n has.
func (s *scenario) fill(n *node) {
	s.t.Helper()
	for i := 0; !s.cutBeyond(n); i++ {
		if i > 500 {
			s.fatal("logs are not cut")
		}
		s.put(fmt.Sprintf("put k%d v%d", i%7, i))
	}
}

func (s *scenario) cutBeyond(n *node) bool {
	for _, other := range s.nodes {
		if other != n && other.up && s.w.cut[link{other.place, s.leader().place}] == nil &&
			s.status(other).FirstIndex <= uint64(len(n.disk.groups[0].log.ids))+n.disk.groups[0].log.before+1 {
			return false
		}
	}
	return true
}

// lagging is a node that was cut off while the others cut their logs beyond its own.
func (s *scenario) lags(n *node) {
	s.t.Helper()
	s.isolate(n)
	s.fill(n)
	s.heal()
}

// transferring has a node that lags, and of whose snapshot the first chunks have arrived. No more do until the hold is released.
func (s *scenario) transferring(n *node, chunks int) *hold {
	s.t.Helper()
	arrived := 0
	rest := s.hold(func(p packet) bool {
		if !installSnapshot(p) || p.to != n {
			return false
		}
		arrived++
		return arrived > chunks
	})
	s.lags(n)
	rest.first("the next chunk")
	return rest
}

// caughtUp waits until all is applied everywhere, and n got a snapshot on the way.
func (s *scenario) caughtUp(n *node) {
	s.t.Helper()
	s.settled()
	if n.seen[0].log.before == 0 || s.w.installs == 0 {
		s.fatal("%s got no snapshot", n.id)
	}
}

// S-02 A follower has entries that contradict the snapshot that it installs. After a power loss nothing of them is left.
func TestS02NothingThatContradictsASnapshotIsLeft(t *testing.T) {
	s := newSnapshots(t, 3)
	a, b := s.nodes[0], s.nodes[1]
	s.isolate(a)
	for i := range 5 {
		s.propose(a, fmt.Sprintf("put lost %d", i))
	}
	s.until("the lone leader's entries are on its disk", func() bool { return len(a.disk.groups[0].log.ids) >= 6 })
	s.elect(b)
	s.fill(a)
	s.heal()
	s.until("the snapshot is installed", func() bool { return a.disk.groups[0].snapshot.GetLastIncludedIndex() > 5 })
	s.crash(a, false)
	s.restart(a)
	s.caughtUp(a)
}

// S-03 The result of an older apply comes after a snapshot was installed: nothing goes back, and nothing is applied twice.
func TestS03AnApplyEndsAfterTheInstall(t *testing.T) {
	s := newSnapshots(t, 3)
	a, c := s.nodes[0], s.nodes[2]
	s.put("put k 1")
	machine := c.boxes[c.servers[0].place+1]
	machine.starve(5 * time.Second)
	s.put("put k 2") // handed to the machine of c, which does not come to it
	s.until("c has it", func() bool { return s.status(c).CommitIndex == s.status(a).CommitIndex })
	s.lags(c)
	s.until("the snapshot is on the disk", func() bool { return c.disk.groups[0].snapshot != nil })
	s.caughtUp(c)
}

// S-04 A server's own snapshot is finished after a newer one was installed. It does not count.
func TestS04AnOlderSnapshotIsFinishedLater(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	c.boxes[1].starve(20 * time.Second) // its archive
	for i := range 8 {
		s.put(fmt.Sprintf("put k %d", i))
	}
	s.until("c asked for its turn", func() bool { return len(c.boxes[1].user) > 0 })
	s.lags(c)
	s.until("the newer one is installed", func() bool { return c.disk.groups[0].snapshot != nil })
	newer := c.disk.groups[0].snapshot.LastIncludedIndex
	c.feed()
	s.pass(2 * time.Second)
	s.crash(c, true)
	s.restart(c)
	if got := c.disk.groups[0].snapshot.GetLastIncludedIndex(); got < newer {
		t.Fatalf("its snapshot is of %d, and was of %d", got, newer)
	}
	s.caughtUp(c)
}

// S-05 A chunk comes to a follower that has all of the snapshot, and more: it loses nothing, and its leader stops.
func TestS05ASnapshotThatIsNotNeeded(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	chunks := s.copies(func(p packet) bool { return installSnapshot(p) && p.to == c })
	s.lags(c)
	s.caughtUp(c)
	chunks.end()
	s.put("put more 1")
	s.settled()
	last, installs := s.log(c), s.w.installs
	for _, p := range chunks.kept {
		s.deliver(p)
	}
	s.pass(3 * time.Second)
	if s.log(c) != last || s.w.installs != installs || c.seen[0].status.Unready != nil {
		s.fatal("a chunk that came again changed something: %s", s.log(c))
	}
}

// S-05 A whole snapshot comes to a follower whose log has all of it, and is not cut.
func TestS05ASnapshotOfWhatTheLogHas(t *testing.T) {
	s := newSnapshots(t, 3)
	a, c := s.nodes[0], s.nodes[2]
	c.boxes[1].starve(time.Hour) // its archive: c cuts nothing
	for i := range 30 {
		s.put(fmt.Sprintf("put k %d", i))
	}
	s.settled()
	s.until("the leader has a snapshot", func() bool { return a.disk.groups[0].snapshot != nil })
	snapshot, last := a.disk.groups[0].snapshot, s.log(c)
	file, err := a.store.OpenSnapshot(1, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for offset := uint64(0); offset < snapshot.Bytes; offset += 16 {
		data := make([]byte, min(16, snapshot.Bytes-offset))
		if _, err := file.ReadAt(data, int64(offset)); err != nil {
			t.Fatal(err)
		}
		s.forge(a, c, &messages.InstallSnapshot{
			Header:            s.header(a, c, s.status(a).Term),
			LastIncludedIndex: snapshot.LastIncludedIndex, LastIncludedTerm: snapshot.LastIncludedTerm,
			Offset: offset, Bytes: snapshot.Bytes, Digest: snapshot.Digest, Data: data,
		})
		s.pass(time.Millisecond)
	}
	_ = file.Close()
	s.pass(50 * time.Millisecond)
	if s.log(c) != last || s.w.installs > 0 || s.status(c).SnapshotIndex > 0 {
		t.Fatalf("it was installed: %s", s.log(c))
	}
}

// S-06 The sender dies in the middle of a snapshot. The follower obeys the next leader, and gets its snapshot.
func TestS06TheSenderDiesInTheMiddle(t *testing.T) {
	s := newSnapshots(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	rest := s.transferring(c, 3)
	s.crash(a, true)
	rest.end()
	s.until("another leads, and c follows it", func() bool { return s.leads(b) && s.status(c).LeaderID == b.id })
	s.restart(a)
	s.caughtUp(c)
}

// S-07 A server that needs a snapshot campaigns while it comes. It takes it all the same.
func TestS07ACandidateTakesTheSnapshot(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	rest := s.transferring(c, 2)
	heartbeats := s.drop(func(p packet) bool { return appendEntries(p) && p.to == c })
	s.until("c stands for election", func() bool { return s.status(c).Role == actors.Candidate })
	rest.end()
	s.until("c has the snapshot", func() bool { return s.status(c).SnapshotIndex > 0 })
	heartbeats.end()
	s.caughtUp(c)
}

// S-08 Chunks are lost, come twice and in another order. What is installed is what was sent.
func TestS08ChunksAreLostDoubledAndOutOfOrder(t *testing.T) {
	s := newSnapshots(t, 3)
	c, n := s.nodes[2], 0
	unruly := s.hold(func(p packet) bool {
		if !installSnapshot(p) || p.to != c {
			return false
		}
		n++
		return n < 60 && n%3 > 0
	})
	s.isolate(c)
	s.fill(c)
	s.heal()
	for n < 60 && s.status(c).SnapshotIndex == 0 { // every second one comes late and twice, the others not at all
		s.pass(20 * time.Millisecond)
		for i, p := range unruly.kept {
			if i%2 == 1 {
				s.deliver(p)
				s.deliver(p)
			}
		}
		unruly.kept = nil
	}
	unruly.end()
	s.caughtUp(c)
}

// S-09 Another snapshot comes while the first is being received: it begins anew, and the end of the first does no harm.
func TestS09AnotherSnapshotComesInTheMiddle(t *testing.T) {
	s := newSnapshots(t, 3)
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	rest := s.transferring(c, 3)
	s.partition([]*node{a}, []*node{b, c})
	rest.end()
	s.until("b leads, and sends its own", func() bool { return s.leads(b) && s.status(c).SnapshotIndex > 0 })
	s.heal()
	rest.release() // the rest of the first
	s.caughtUp(c)
}

// S-11 A snapshot brings the charter of its index: here, the feature level.
func TestS11ASnapshotBringsTheCharter(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	for _, n := range s.nodes {
		s.upgrade(n, messages.Level+1)
	}
	// The level rises while c lacks everything.
	entries := s.drop(func(p packet) bool { return p.to == c && entriesOf(p) > 0 })
	s.elect(s.nodes[0])
	s.until("the level rises", func() bool { return s.leader() != nil && s.leader().seen[0].level == messages.Level+1 })
	s.fill(c)
	entries.end()
	s.caughtUp(c)
	if c.seen[0].level != messages.Level+1 {
		t.Fatalf("%s is in a group of level %d", c.id, c.seen[0].level)
	}
}

// S-14 A follower lacks a log that is all cut, and nobody writes. It gets a snapshot at once.
func TestS14NobodyWritesAndTheLogIsCut(t *testing.T) {
	s := newSnapshots(t, 3)
	c := s.nodes[2]
	s.crash(c, true)
	s.fill(c)
	s.pass(time.Second)
	last := s.committed()
	s.restart(c)
	s.within(3*time.Second, "c has all", func() bool { return s.status(c).AppliedIndex == uint64(last) })
	s.caughtUp(c)
}

// P-03, P-08 Power is lost after each step of taking a snapshot and cutting the log, and of installing one: the node starts, and has what
// it had promised.
func TestP03PowerLossAtEachStepOfASnapshot(t *testing.T) {
	stride := 19 // of steps: all of them take minutes
	if testing.Short() {
		stride = 83
	}
	for first := range 3 {
		for steps := first; ; steps += stride {
			s := newSnapshots(t, 3)
			a, c := s.nodes[0], s.nodes[2]
			s.lags(c) // everybody takes snapshots, and c installs one
			victim := []*node{a, c}[steps%2]
			n := 0
			s.w.run(func() bool { n++; return n > steps || s.w.snapshots > 40 })
			s.check()
			s.crash(victim, steps%3 == 0)
			s.restart(victim)
			if !victim.up {
				s.fatal("%s does not start: %s", victim.id, victim.broken)
			}
			s.put("put after 1")
			s.settled()
			if steps > 400 {
				break
			}
		}
	}
}

// P-08 The disk is full in the middle of a snapshot: the node goes on, says so, and takes another one later.
func TestP08ASnapshotCannotBeWritten(t *testing.T) {
	s := newSnapshots(t, 1)
	a := s.nodes[0]
	a.disk.failSnapshot.Store(true)
	for i := 0; s.status(a).SnapshotErr == nil; i++ {
		s.put(fmt.Sprintf("put k %d", i))
	}
	if s.status(a).Unready != nil {
		t.Fatalf("it cannot serve: %v", s.status(a).Unready)
	}
	s.put("put k goes on")
	s.until("it is taken", func() bool { return s.status(a).SnapshotErr == nil && s.status(a).SnapshotIndex > 0 })
}

// F-06 Clients write while a snapshot is sent over a slow link, and logs are cut. The follower catches up, with that snapshot.
func TestF06LogsAreCutWhileASnapshotIsSent(t *testing.T) {
	s := newSnapshots(t, 3)
	a, c := s.nodes[0], s.nodes[2]
	s.lags(c)
	for i := 0; s.status(c).AppliedIndex+30 < s.status(a).AppliedIndex; i++ {
		if i > 400 {
			s.fatal("it does not catch up; %d snapshots were installed", s.w.installs)
		}
		s.w.arrives[link{a.place, c.place}] = max(s.w.arrives[link{a.place, c.place}], s.w.now) + 3*time.Millisecond
		s.put(fmt.Sprintf("put k%d v%d", i%5, i))
	}
	s.caughtUp(c)
	if s.w.installs > 2 {
		t.Errorf("%d snapshots were installed", s.w.installs)
	}
}

// S-17 A snapshot that is installed changes neither term nor vote.
func TestS17ASnapshotChangesNeitherTermNorVote(t *testing.T) {
	s := newSnapshots(t, 3)
	b, c := s.nodes[1], s.nodes[2]
	s.elect(b)
	s.settled()
	hard := c.disk.groups[0].hard
	s.lags(c)
	s.until("the snapshot is on the disk", func() bool { return c.disk.groups[0].snapshot != nil })
	if now := c.disk.groups[0].hard; now.Vote != hard.Vote || now.Term != hard.Term || hard.Vote != b.id {
		t.Fatalf("%+v, before it was %+v", now, hard)
	}
	s.caughtUp(c)
}
