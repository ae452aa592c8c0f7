package simulation

import (
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// truth is what is known of one group, over all nodes and incarnations.
type truth struct {
	lull      time.Duration // until then clients want nothing
	committed []entryID     // from index 1 on
	terms     []uint64      // in which each was committed
	// committedAt is when somebody first said so.
	committedAt []time.Duration
	skipped     []bool   // a machine was not given it
	results     []uint64 // hash of what the state machine answered at each index; 0: not yet
	leaders     map[uint64]string
	// entries by place and term, with what comes before (Log Matching, by induction).
	entries map[place]content
	// configurations are all that were ever in a log, but for the founding one.
	configurations []configured
	votes          map[ballot]string
	// stores are the data directories that each node had in the group, in the order of places: that of the founding, and those that it came
	// with when it was replaced.
	stores []map[uint64]bool
	// states are hashes of the state machine's state after a command, tables those of the sessions after an entry.
	states, tables map[uint64]uint64
	// tallies are of commands, by hash; nil: nobody counts.
	tallies   map[uint64]*tally
	elected   map[election]*electorate
	rounds    map[answers]uint64
	model     model
	lifetimes lifetimes
}

type place struct{ index, term uint64 }

type configured struct {
	index   uint64
	members string
}

type content struct {
	hash     uint64
	prevTerm uint64
}

// ballot is one voter's in one term. A voter is a data directory: a wiped node is another.
type ballot struct {
	store, term uint64
}

func newTruth(groups int) []truth {
	all := make([]truth, groups)
	for i := range all {
		all[i] = truth{
			leaders: map[uint64]string{}, entries: map[place]content{}, votes: map[ballot]string{},
			states: map[uint64]uint64{}, tables: map[uint64]uint64{}, elected: map[election]*electorate{},
			rounds: map[answers]uint64{}, model: model{}, lifetimes: newLifetimes(),
		}
	}
	return all
}

// seen is what a server showed after its last message, and what it heard in this incarnation.
type seen struct {
	spoken time.Duration // when the node's pulse last spoke for its leader
	status actors.Status
	begun  bool
	log    logged
	// snapshot is the newest one.
	snapshot *messages.Snapshot
	level    uint32 // of the group
	members  uint64 // the index of the configuration in force, and since when it is
	since    time.Duration
	peers    [mostNodes]peerSeen
	// prevotes are the nodes that promised their vote, by round.
	prevotes map[uint64]nodeSet
	// asked are the terms whose leaders asked the server to stand.
	asked []uint64
}

// observe checks the five properties of the paper's figure 3 after every message.
func (w *world) observe(n *node, g int, v actors.Observation) {
	before, now := &n.seen[g], v.Status()
	if now.Term < before.status.Term || now.CommitIndex < before.status.CommitIndex || now.AppliedIndex < before.status.AppliedIndex {
		w.fail("term, commit and applied never fall within an incarnation", "%s: %+v, then %+v", n.id, before.status, now)
	}
	if notCounted(now) && !n.wiped && !n.disk.double && !n.rejoined {
		w.fail("only a wiped server is told that it does not count", "%s: %+v", n.id, now)
	}
	if !before.begun {
		before.begun, before.log, before.snapshot = true, n.disk.groups[g].log.clone(), v.Snapshot()
		w.checkStart(n, g, v)
	}
	w.matchLogs(n, g, v)
	w.checkLevel(n, g, v)
	was := before.members
	if c := v.Configuration(); c.Index != was {
		before.members, before.since = c.Index, w.now
		w.joined(n, g, c)
	}
	w.checkCounted(n, g, v)
	if now.Role == actors.Leader {
		w.checkLeader(n, g, v)
	}
	durable, disk := now.DurableIndex, &n.disk.groups[g].log
	if durable > before.log.before && durable != before.status.DurableIndex && !disk.covers(durable, before.log.at(durable)) {
		w.fail("what a server calls durable is on its disk", "%s: index %d", n.id, durable)
	}
	if led := before.status.Role == actors.Leader && before.status.Term == now.Term; led && now.Role == actors.Leader &&
		now.CommitIndex > before.status.CommitIndex && before.log.at(now.CommitIndex).term != now.Term {
		w.fail("a leader commits only entries of its own term by counting (section 5.4.2)",
			"%s in term %d commits %d", n.id, now.Term, now.CommitIndex)
	}
	for i := max(before.status.CommitIndex, before.log.before) + 1; i <= now.CommitIndex; i++ {
		w.commit(n, g, v, i)
	}
	if before.members != was {
		w.checkChange(n, g, was, now)
	}
	before.status = now
}

// checkStart: a server begins with what is on its disk.
func (w *world) checkStart(n *node, g int, v actors.Observation) {
	now, disk := v.Status(), &n.disk.groups[g]
	same := now.Term == disk.hard.Term && v.Vote() == disk.hard.Vote && now.LastIndex == disk.log.last()
	for _, m := range v.Configuration().Members() {
		same = same && (m.ID == n.id || v.Counted(m.ID) == disk.pins[m.ID])
	}
	if !same {
		w.fail("a server starts with what it promised",
			"%s starts with %+v and a vote for %q; its disk has %+v, the entries up to %d and the pins %v",
			n.id, now, v.Vote(), disk.hard, disk.log.last(), disk.pins)
	}
}

// matchLogs: if two logs contain an entry with the same index and term, then the logs are identical in all entries up through it.
func (w *world) matchLogs(n *node, g int, v actors.Observation) {
	w.matchCut(n, g, v)
	from, last := v.ChangedFrom(), v.Status().LastIndex
	if from == 0 {
		return
	}
	t, mine := &w.truth[g], &n.seen[g]
	from = max(from, mine.log.before+1)
	mine.log.truncate(from)
	for i := from; i <= last; i++ {
		id := identify(v.Entry(i))
		prev := mine.log.term
		if i > mine.log.before+1 {
			prev = mine.log.at(i - 1).term
		}
		if id.members != "" {
			w.checkOverlap(n, mine.log.members(), id.members)
			t.configurations = append(t.configurations, configured{i, id.members})
		}
		mine.log.append(id)
		here := place{i, id.term}
		is := content{id.hash, prev}
		if was, known := t.entries[here]; known && was != is {
			w.fail("entries with the same index and term are the same, and so is what comes before (Log Matching)",
				"%s: %d@%d", n.id, i, id.term)
		}
		t.entries[here] = is
	}
}

// matchCut: only what is committed is cut, and a snapshot is of what is committed.
func (w *world) matchCut(n *node, g int, v actors.Observation) {
	t, mine := &w.truth[g], &n.seen[g]
	if s := v.Snapshot(); s != mine.snapshot {
		mine.snapshot = s
		w.checkSnapshot(n, g, s)
	}
	cut, term := v.Cut()
	switch {
	case cut == mine.log.before:
		return
	case cut > uint64(len(t.committed)) || t.committed[cut-1].term != term:
		w.fail("only what is committed is cut", "%s cuts its log at %d@%d", n.id, cut, term)
	case mine.log.has(cut, t.committed[cut-1]):
		mine.log.cut(cut, term)
		w.cuts++
	default:
		mine.log = replaced(cut, term, t.levelAt(cut), t.membersAt(cut))
		w.installs++
	}
}

// checkSnapshot: what a snapshot includes is committed, and it says of the group what the log says there.
func (w *world) checkSnapshot(n *node, g int, s *messages.Snapshot) {
	t, index := &w.truth[g], s.GetLastIncludedIndex()
	w.snapshots++
	if index == 0 {
		return
	}
	if index > uint64(len(t.committed)) || t.committed[index-1].term != s.LastIncludedTerm {
		w.fail("a snapshot includes only what is committed", "%s has one of %d@%d", n.id, index, s.LastIncludedTerm)
		return
	}
	c := s.Charter
	if c.GetLevel() != t.levelAt(index) || c.GetClusterId() == 0 || membersOf(s) != t.membersAt(index) {
		w.fail("a snapshot has the charter of its index", "%s has %v at %d", n.id, s.Charter, index)
	}
}

// levelAt is the group's feature level as of a committed entry.
func (t *truth) levelAt(index uint64) (level uint32) {
	for _, id := range t.committed[:index] {
		level = max(level, id.level)
	}
	return level
}

// membersAt is the configuration as of a committed entry; empty: the founding one.
func (t *truth) membersAt(index uint64) (members string) {
	for _, id := range t.committed[:index] {
		if id.members != "" {
			members = id.members
		}
	}
	return members
}

// founded: from now on, one disk may be lost. That of a node that was not told yet is of most interest.
func (w *world) founded(g int) {
	for _, n := range w.nodes {
		w.truth[g].stores = append(w.truth[g].stores, map[uint64]bool{n.storeID: true})
	}
	if w.chaos && w.options.Faults[Wipe] > 0 && w.chance(0.1) {
		w.after(w.between(0, 50*time.Millisecond), w.wipe)
	}
}

// commit takes note of one committed entry. The first to say so must have a majority of disks behind it.
func (w *world) commit(n *node, g int, v actors.Observation, index uint64) {
	t, term, id := &w.truth[g], v.Status().Term, n.seen[g].log.at(index)
	if index <= uint64(len(t.committed)) {
		if t.committed[index-1] != id {
			w.fail("a committed entry never changes (State Machine Safety)",
				"%s has %d@%d at %d, committed was term %d", n.id, index, id.term, index, t.committed[index-1].term)
		}
		return
	}
	t.committed = append(t.committed, id)
	t.terms = append(t.terms, term)
	t.results = append(t.results, 0)
	t.lifetimes.commit(id)
	t.committedAt, t.skipped = append(t.committedAt, w.now), append(t.skipped, false)
	if index == 1 {
		w.founded(g)
	}
	has := func(member string) bool {
		other := w.nodes[w.placeOf(member)]
		return other.gone(v.Counted(member)) || other.disk.groups[g].log.covers(index, id)
	}
	if !v.Configuration().Quorum().Heard(has) {
		w.fail("what is committed is synced on a majority", "%s commits %d@%d%s", n.id, index, id.term, w.describe())
	}
}
