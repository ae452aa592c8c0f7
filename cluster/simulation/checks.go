package simulation

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// truth is what is known of one group, over all nodes and incarnations.
type truth struct {
	committed []entryID // from index 1 on
	terms     []uint64  // in which each was committed
	results   []uint64  // hash of what the state machine answered at each index; 0: not yet
	leaders   map[uint64]string
	// entries by place and term, with what comes before (Log Matching, by induction).
	entries map[place]content
	votes   map[ballot]string
}

type place struct{ index, term uint64 }

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
		all[i] = truth{leaders: map[uint64]string{}, entries: map[place]content{}, votes: map[ballot]string{}}
	}
	return all
}

// seen is what a server showed after its last message.
type seen struct {
	status  actors.Status
	entries []entryID
}

// observe checks the five properties of the paper's figure 3 after every message.
func (w *world) observe(n *node, g int, v actors.View) {
	t, before, now := &w.truth[g], &n.seen[g], v.Status()
	if now.Term < before.status.Term || now.CommitIndex < before.status.CommitIndex || now.AppliedIndex < before.status.AppliedIndex {
		w.fail("term, commit and applied never fall within an incarnation", fmt.Sprintf("%s: %+v, then %+v", n.id, before.status, now))
	}
	if before.entries == nil {
		before.entries = append(before.entries, n.disk.groups[g].entries...)
	}
	w.matchLogs(n, g, v)
	if now.Role == actors.Leader {
		w.checkLeader(n, t, now, before)
	}
	if durable := now.DurableIndex; durable > 0 && durable != before.status.DurableIndex {
		stored := n.disk.groups[g].entries
		if uint64(len(stored)) < durable || stored[durable-1] != before.entries[durable-1] {
			w.fail("what a server calls durable is on its disk", fmt.Sprintf("%s: index %d", n.id, durable))
		}
	}
	if led := before.status.Role == actors.Leader && before.status.Term == now.Term; led && now.Role == actors.Leader &&
		now.CommitIndex > before.status.CommitIndex && before.entries[now.CommitIndex-1].term != now.Term {
		w.fail("a leader commits only entries of its own term by counting (section 5.4.2)", fmt.Sprintf("%s in term %d commits %d", n.id, now.Term, now.CommitIndex))
	}
	for i := before.status.CommitIndex + 1; i <= now.CommitIndex; i++ {
		w.commit(n, g, now.Term, i, before.entries[i-1])
	}
	before.status = now
}

// matchLogs: if two logs contain an entry with the same index and term, then the logs are identical in all entries up through it.
func (w *world) matchLogs(n *node, g int, v actors.View) {
	from, last := v.ChangedFrom(), v.Status().LastIndex
	if from == 0 {
		return
	}
	t, mine := &w.truth[g], &n.seen[g]
	mine.entries = mine.entries[:from-1]
	for i := from; i <= last; i++ {
		id := identify(v.Entry(i))
		prev := uint64(0)
		if i > 1 {
			prev = mine.entries[i-2].term
		}
		mine.entries = append(mine.entries, id)
		here := place{i, id.term}
		is := content{id.hash, prev}
		if was, known := t.entries[here]; known && was != is {
			w.fail("entries with the same index and term are the same, and so is what comes before (Log Matching)", fmt.Sprintf("%s: %d@%d", n.id, i, id.term))
		}
		t.entries[here] = is
	}
}

func (w *world) checkLeader(n *node, t *truth, now actors.Status, before *seen) {
	if other, known := t.leaders[now.Term]; known && other != n.id {
		w.fail("at most one leader is elected in a term (Election Safety)", fmt.Sprintf("%s and %s in term %d", other, n.id, now.Term))
		return
	}
	if before.status.Role == actors.Leader && before.status.Term == now.Term {
		return
	}
	t.leaders[now.Term] = n.id
	w.note("%s leads in term %d", n.id, now.Term)
	for i, id := range t.committed {
		if t.terms[i] >= now.Term {
			break // committed under a later leader, while this one had its votes in the mail
		}
		if i >= len(before.entries) || before.entries[i] != id {
			w.fail("what is committed is in the logs of all later leaders (Leader Completeness)", fmt.Sprintf("%s in term %d lacks %d@%d", n.id, now.Term, i+1, id.term))
			return
		}
	}
}

// commit takes note of one committed entry. The first to say so must have a majority of disks behind it.
func (w *world) commit(n *node, g int, term, index uint64, id entryID) {
	t := &w.truth[g]
	if index <= uint64(len(t.committed)) {
		if t.committed[index-1] != id {
			w.fail("a committed entry never changes (State Machine Safety)", fmt.Sprintf("%s has %d@%d at %d, committed was term %d", n.id, index, id.term, index, t.committed[index-1].term))
		}
		return
	}
	t.committed = append(t.committed, id)
	t.terms = append(t.terms, term)
	t.results = append(t.results, 0)
	have := 0
	for _, other := range w.nodes {
		stored := other.disk.groups[g].entries
		if other.wiped || uint64(len(stored)) >= index && stored[index-1] == id {
			have++ // a wiped disk may have had it, and been counted
		}
	}
	if have <= len(w.nodes)/2 {
		w.fail("what is committed is synced on a majority", fmt.Sprintf("%s commits %d@%d, which %d of %d disks have%s", n.id, index, id.term, have, len(w.nodes), w.describe()))
	}
}

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
		}
	}
}

func (w *world) voted(n *node, h *messages.Header, candidate string) {
	g := groupNumber(h.Group)
	t, b := &w.truth[g], ballot{h.StoreId, h.Term}
	if other, known := t.votes[b]; known && other != candidate {
		w.fail("a server votes once in a term, over restarts too", fmt.Sprintf("%s voted for %s and %s in term %d", n.id, other, candidate, h.Term))
	}
	t.votes[b] = candidate
	if hard := n.disk.groups[g].hard; hard.Term < h.Term || hard.Term == h.Term && hard.Vote != candidate {
		w.fail("a vote is on the disk before it is given", fmt.Sprintf("%s gives %s its vote in term %d; its disk has %+v", n.id, candidate, h.Term, hard))
	}
}

func groupNumber(name string) int {
	var g int
	_, _ = fmt.Sscanf(name, "g%d", &g)
	return g
}
