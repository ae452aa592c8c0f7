package simulation

import (
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// peerSeen is what a server showed of another.
type peerSeen struct {
	counted      uint64 // see actors.Observation.Counted
	match, round uint64
	heard        time.Duration // when the round rose, or the member came into the group
	member       bool          // of the configuration in force
	late         time.Duration // since when this server had been stuck when it last sent a heartbeat
}

// checkCounted: a member counts from one data directory, the one that is pinned on the disk, and that it came into the group with. The
// configuration says which.
func (w *world) checkCounted(n *node, g int, v actors.Observation) {
	for i, m := range w.members {
		p, counted := &n.seen[g].peers[i], v.Counted(m.ID)
		if stores := w.truth[g].stores; counted != 0 && len(stores) > 0 && n.seen[g].log.last() > 0 && !stores[i][counted] {
			w.fail("only the data directory that a member came into the group with counts", "%s counts %s from %x", n.id, m.ID, counted)
		}
		if named, in := v.Configuration().Member(m.ID); in && counted != 0 && named.StoreID != 0 && named.StoreID != counted {
			w.fail("the configuration says from where a member counts", "%s counts %s from %x, not %x", n.id, m.ID, counted, named.StoreID)
		}
		if counted == p.counted {
			continue
		}
		if p.counted = counted; counted != 0 && n.disk.groups[g].pins[m.ID] != counted {
			w.fail("a data directory is pinned on the disk before it counts", "%s counts %s from %x", n.id, m.ID, counted)
		}
	}
}

func (w *world) checkLeader(n *node, g int, v actors.Observation) {
	t, before, now := &w.truth[g], &n.seen[g], v.Status()
	if other, known := t.leaders[now.Term]; known && other != n.id {
		w.fail("at most one leader is elected in a term (Election Safety)", "%s and %s in term %d", other, n.id, now.Term)
		return
	}
	if before.status.Role != actors.Leader || before.status.Term != now.Term {
		w.checkNewLeader(n, g, v)
	}
	for _, other := range w.nodes {
		if other != n {
			w.checkFollower(n, g, other, v)
		}
	}
	w.checkHeard(n, g, v)
}

func (w *world) checkNewLeader(n *node, g int, v actors.Observation) {
	t, mine, now := &w.truth[g], &n.seen[g], v.Status()
	t.leaders[now.Term] = n.id
	w.note("%s leads in term %d", n.id, now.Term)
	for i := range mine.peers {
		mine.peers[i] = peerSeen{counted: mine.peers[i].counted, heard: w.now, member: mine.peers[i].member}
	}
	if mine.log.lastTerm() != now.Term {
		w.fail("the log of a new leader ends with an entry of its term (section 8)",
			"%s in term %d ends with one of term %d", n.id, now.Term, mine.log.lastTerm())
	}
	if votes := w.votes(n, g, now.Term); !v.Configuration().Quorum().Won(votes) || mine.log.last() == 1 && len(votes) < len(w.nodes) {
		w.fail("a leader has the votes of a majority of data directories that count, a founder those of all",
			"%s in term %d has %v", n.id, now.Term, votes)
	}
	for i, id := range t.committed {
		if t.terms[i] >= now.Term {
			break // committed under a later leader, while this one had its votes in the mail
		}
		if index := uint64(i) + 1; index > mine.log.before && !mine.log.has(index, id) {
			w.fail("what is committed is in the logs of all later leaders (Leader Completeness)",
				"%s in term %d lacks %d@%d", n.id, now.Term, i+1, id.term)
			return
		}
	}
	w.strikeLeader(n)
}

// gone says whether a disk that is counted is there no more, because it was wiped or its node replaced. It may have had anything.
func (n *node) gone(counted uint64) bool { return n.wiped || counted != 0 && counted != n.storeID }

// checkFollower: what a leader counts of a follower is so.
func (w *world) checkFollower(n *node, g int, other *node, v actors.Observation) {
	mine, term := &n.seen[g], v.Status().Term
	p := &mine.peers[other.place]
	match, round := v.Progress(other.id)
	gone := other.gone(v.Counted(other.id))
	if match != p.match && match > mine.log.before && !gone && !other.disk.groups[g].hadIn(term, match, mine.log.at(match)) {
		w.fail("a leader counts a match only of what is on that follower's disk in that term",
			"%s in term %d counts %s up to %d%s", n.id, term, other.id, match, w.describe())
	}
	if round != p.round {
		if answered := w.truth[g].rounds[answers{other.place, n.place, term}]; round > answered {
			w.fail("a leader counts a round only of whom answered it",
				"%s in term %d counts round %d of %s, which answered %d", n.id, term, round, other.id, answered)
		}
		p.heard = w.now
	}
	p.match, p.round = match, round
}

// joined: a leader has an election timeout to hear who comes into the group.
func (w *world) joined(n *node, g int, c *actors.Configuration) {
	for i, m := range w.members {
		p := &n.seen[g].peers[i]
		_, in := c.Member(m.ID)
		if in && !p.member {
			p.heard = w.now
		}
		p.member = in
	}
}

// checkHeard is check-quorum, with some heartbeats to notice it. A server that did not come to run reads its mail first.
func (w *world) checkHeard(n *node, g int, v actors.Observation) {
	timing := w.options.Timing
	since := w.now - timing.Election*11/10 - 3*timing.Heartbeat
	if max(n.resumed, n.servers[g].starvedTo, n.seen[g].since) > w.now-4*timing.Heartbeat {
		return
	}
	heard := func(member string) bool {
		place := w.placeOf(member)
		return place == n.place || n.seen[g].peers[place].heard >= since
	}
	if !v.Configuration().Quorum().Heard(heard) {
		w.fail("a leader that hears no majority for an election timeout steps down",
			"%s leads in term %d%s", n.id, v.Status().Term, w.describe())
	}
}
