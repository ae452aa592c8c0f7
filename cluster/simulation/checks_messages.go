package simulation

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// election is what one node stands in.
type election struct {
	candidate int
	term      uint64
}

// electorate is from which data directory each node's vote came.
type electorate [mostNodes]uint64

// answers are those of one follower to one leadership.
type answers struct {
	from, to int
	term     uint64
}

// nodeSet has a bit for each place.
type nodeSet uint8

func (s nodeSet) size() int { return bits.OnesCount8(uint8(s)) }

// promised looks at every message that leaves a node: votes are promises for good.
func (w *world) promised(n *node, m proto.Message) {
	switch m := m.(type) {
	case *messages.RequestVoteReply:
		if m.Granted && !m.PreVote {
			w.voted(n, m.Header, m.Header.To)
		}
	case *messages.RequestVote:
		if !m.PreVote {
			w.voted(n, m.Header, m.Header.From)
			w.stands(n, m)
		}
	case *messages.TimeoutNow:
		w.asksToStand(n, m)
	case *messages.AppendEntries:
		w.sends(n, m)
	case *messages.Pulse:
		w.speaksFor(n, m)
	}
}

// speaksFor: a node's pulse speaks for those who lead there, and not for long when they are stuck.
func (w *world) speaksFor(n *node, m *messages.Pulse) {
	for _, q := range m.Groups {
		g := groupNumber(q.Group)
		if w.truth[g].leaders[q.Term] != n.id {
			w.fail("a pulse speaks only for leaders on its node", "%s speaks for group %d in term %d", n.id, g, q.Term)
		}
		if starving := n.servers[g].starving(); starving > w.options.Timing.Election*11/10 {
			w.fail("a pulse does not go on for a leader that is stuck", "%s in term %d, stuck for %v", n.id, q.Term, starving)
		}
		n.seen[g].spoken = w.now
		w.pulses++
	}
}

// hearsPulse: who answers a pulse is heard, in the groups that were spoken for, and that it does not name.
func (w *world) hearsPulse(from, to *node, m *messages.PulseReply) {
	for g := range to.seen {
		named := slices.ContainsFunc(m.Groups, func(q *messages.Quiescent) bool { return q.Group == groupName(g) })
		if spoken := to.seen[g].spoken; !named && spoken > 0 && w.now-spoken <= w.options.Timing.Election {
			to.seen[g].peers[from.place].heard = w.now
		}
	}
}

// sends: a leader's messages are of its own log, and end while its server is stuck.
func (w *world) sends(n *node, m *messages.AppendEntries) {
	last := m.PrevLogTerm
	if len(m.Entries) > 0 {
		if e, err := messages.DecodeEntry(m.Entries[len(m.Entries)-1]); err == nil {
			last = e.Term
		}
	}
	if (m.PrevLogIndex == 0) != (m.PrevLogTerm == 0) {
		w.fail("a message names the term of the entry before it", "%s sends %d@%d", n.id, m.PrevLogIndex, m.PrevLogTerm)
	}
	if last > m.Header.Term {
		w.fail("a leader sends no entry of a later term", "%s in term %d sends one of term %d", n.id, m.Header.Term, last)
	}
	server := n.servers[groupNumber(m.Header.Group)]
	if len(m.Entries) > 0 || server.starving() < w.options.Timing.Election*11/10 {
		return
	}
	// A replicator that begins late may still find out where the logs meet.
	if late := &n.seen[groupNumber(m.Header.Group)].peers[w.placeOf(m.Header.To)].late; *late != server.starvedFrom {
		*late = server.starvedFrom
		return
	}
	w.fail("a leader whose server is stuck sends no heartbeats", "%s in term %d, stuck for %v", n.id, m.Header.Term, server.starving())
}

func (w *world) voted(n *node, h *messages.Header, candidate string) {
	g := groupNumber(h.Group)
	t, b := &w.truth[g], ballot{h.StoreId, h.Term}
	if other, known := t.votes[b]; known && other != candidate {
		w.fail("a server votes once in a term, over restarts too", "%s voted for %s and %s in term %d", n.id, other, candidate, h.Term)
	}
	t.votes[b] = candidate
	if hard := n.disk.groups[g].hard; hard.Term < h.Term || hard.Term == h.Term && hard.Vote != candidate {
		w.fail("a vote is on the disk before it is given",
			"%s gives %s its vote in term %d; its disk has %+v", n.id, candidate, h.Term, hard)
	}
}

// stands: a candidacy follows a round of pre-votes, which a majority granted; all did if the group is not founded. It counts by itself,
// on purpose: the other checks ask the server's own configuration.
func (w *world) stands(n *node, m *messages.RequestVote) {
	g := groupNumber(m.Header.Group)
	promised := n.seen[g].prevotes[m.Round-1]
	if w.hasVote(n, g) {
		promised |= 1 << n.place
	}
	if on := n.disk.groups[g].log.last(); on < m.LastLogIndex {
		w.fail("a candidate's log is on its disk", "%s in term %d claims %d, its disk ends at %d", n.id, m.Header.Term, m.LastLogIndex, on)
	}
	if m.Transfer {
		w.mayStand(n, g, m)
		return
	}
	if !agree(w.majorities(n.seen[g].log.members()), promised) || m.LastLogIndex == 0 && promised.size() < len(w.nodes) {
		w.fail("who asks for votes had a majority of pre-votes (thesis 9.6)", "%s in term %d had %b", n.id, m.Header.Term, promised)
	}
}

// heard looks at every message that reaches a node undamaged: nothing else may be counted there.
func (w *world) heard(n *node, message proto.Message) {
	m, ok := message.(interface{ GetHeader() *messages.Header })
	if !ok || m.GetHeader().GetTo() != n.id {
		return
	}
	h := m.GetHeader()
	from, g := w.placeOf(h.From), groupNumber(h.Group)
	if from < 0 || g < 0 || g >= w.options.Groups {
		return // damaged, and not noticed: what is done with it shows
	}
	switch m := message.(type) {
	case *messages.RequestVoteReply:
		switch {
		case !m.Granted:
		case m.PreVote:
			n.seen[g].prevotes[m.Round] |= 1 << from
		default:
			w.vote(n, g, from, h)
		}
	case *messages.TimeoutNow:
		w.askedToStand(n, g, h)
	case *messages.AppendEntriesReply:
		w.answered(g, answers{from, n.place, h.Term}, m.Round)
	case *messages.InstallSnapshotReply:
		w.answered(g, answers{from, n.place, h.Term}, m.Round)
	}
}

func (w *world) answered(g int, a answers, round uint64) {
	rounds := w.truth[g].rounds
	rounds[a] = max(rounds[a], round)
}

// vote notes who voted, and from where: the vote from a data directory that counts is not forgotten for another.
func (w *world) vote(n *node, g, from int, h *messages.Header) {
	e := election{n.place, h.Term}
	all := w.truth[g].elected
	if all[e] == nil {
		all[e] = &electorate{}
	}
	if store := &all[e][from]; *store == 0 || *store != n.seen[g].peers[from].counted {
		*store = h.StoreId
	}
}

// votes are those that n has in a term: its own, and those of others from data directories that count there.
func (w *world) votes(n *node, g int, term uint64) map[string]bool {
	votes := map[string]bool{}
	if w.hasVote(n, g) {
		votes[n.id] = true
	}
	if e := w.truth[g].elected[election{n.place, term}]; e != nil {
		for i, p := range n.seen[g].peers {
			if e[i] != 0 && e[i] == p.counted {
				votes[w.nodes[i].id] = true
			}
		}
	}
	return votes
}

func (w *world) placeOf(id string) int {
	for i, m := range w.members {
		if m.ID == id {
			return i
		}
	}
	return -1
}

// groupNumber is -1 for a name that no group has.
func groupNumber(name string) int {
	number, found := strings.CutPrefix(name, "g")
	g, err := strconv.Atoi(number)
	if !found || err != nil {
		return -1
	}
	return g
}
