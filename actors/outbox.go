package actors

import (
	"time"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// outbox is where promises wait. What a message changes is staged in the open batch; whatever promises that the change is
// durable is held under that batch. A flush hands the batch to the journal; when it is synced, what it held leaves. One batch
// is with the journal at a time, the next gathers: that is the group commit.
//
//	stage ──> open batch ──flush──> journal ──synced──> durable rises, held leaves
type outbox struct {
	group   persistence.GroupID
	open    *batch
	writing *batch // with the journal
	// durable is the last index such that the log as it is now is in synced batches. Only truncation lowers it.
	durable uint64
}

// batch is what is staged between two flushes.
type batch struct {
	records persistence.Batch
	// first is the lowest index staged; 0: no entries.
	first uint64
	// claim is the last index that the log, as it is now, has in this and earlier batches. Truncation caps it.
	claim uint64
	// held leaves when the batch is synced.
	held  []func()
	since time.Time
}

func (o *outbox) stage() *batch {
	if o.open == nil {
		o.open = &batch{}
	}
	return o.open
}

// promise stages the hard state: it must be synced before anything held leaves.
func (o *outbox) promise() { o.stage().records.Sync = true }

// entry stages the entry at index, which is in the log already.
func (o *outbox) entry(index uint64) {
	b := o.stage()
	if b.first == 0 || index < b.first {
		b.first = index
	}
	b.records.Sync = true
}

// pin stages the store id of a peer.
func (o *outbox) pin(peer string, storeID uint64) {
	b := o.stage()
	if b.records.PinnedPeers == nil {
		b.records.PinnedPeers = map[string]uint64{}
	}
	b.records.PinnedPeers[peer] = storeID
	b.records.Sync = true
}

// snapshot stages that the group's snapshot is this one, and that the log is cut up to an index.
func (o *outbox) snapshot(s *messages.Snapshot, cut, cutTerm uint64) {
	r := &o.stage().records
	r.Snapshot, r.Sync = s, true
	if cut > r.CutTo {
		r.CutTo, r.CutTerm = cut, cutTerm
	}
}

// replaced stages that a snapshot takes the place of the log. What is staged of the log before is not written any more. What is
// durable of it is true up to the index that was committed.
func (o *outbox) replaced(s *messages.Snapshot, committed uint64) {
	o.truncated(committed + 1)
	b := o.stage()
	b.first = 0
	b.records.Snapshot, b.records.CutTo, b.records.CutTerm = s, s.LastIncludedIndex, s.LastIncludedTerm
	b.records.Reset, b.records.Sync = true, true
}

// hold lets f run when all that is staged now is durable.
func (o *outbox) hold(f func()) {
	b := o.stage()
	b.held = append(b.held, f)
}

// truncated caps what is claimed: the entries from index on are no longer those that were or will be synced.
func (o *outbox) truncated(from uint64) {
	o.durable = min(o.durable, from-1)
	if o.writing != nil {
		o.writing.claim = min(o.writing.claim, from-1)
	}
	if o.open != nil && o.open.first > from {
		o.open.first = from
	}
}

// ready says whether a batch waits that may go to the journal.
func (o *outbox) ready() bool { return o.open != nil && o.writing == nil }

// seal closes the open batch for the journal: the log's entries from the lowest staged one on, and the hard state.
func (s *state) seal(now time.Time) *batch {
	o := &s.outbox
	b := o.open
	o.open, o.writing = nil, b
	b.claim, b.since = s.log.last, now
	b.records.Group, b.records.HardState = o.group, s.hardState()
	if b.first != 0 {
		b.records.First, b.records.Entries = b.first, s.log.slice(b.first, s.log.last)
	}
	return b
}

// synced takes note that what was with the journal is durable, and lets go what it held. Completions are matched by batch,
// never by index: an index may have been truncated and filled again since.
func (o *outbox) synced(b *batch) {
	if o.writing != b {
		panic("the journal synced a batch that it was not given")
	}
	o.writing = nil
	o.durable = max(o.durable, b.claim)
	for _, leave := range b.held {
		leave()
	}
}

// stalled says whether a batch has been waiting for its sync since before then.
func (o *outbox) stalled(then time.Time) bool {
	return o.writing != nil && o.writing.since.Before(then)
}
