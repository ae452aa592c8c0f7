package persistence

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// HardState is what a server remembers over a restart besides its log.
type HardState struct {
	Term      uint64
	Vote      string // node id; empty: not voted in this term
	Commit    uint64 // a hint: at least this index is committed
	ClusterID uint64 // 0: not known yet
	// Promise is the longest promise not to vote that was made, in whole milliseconds; 0: none was made.
	Promise time.Duration
}

// Batch is what one server staged between two flushes. It is immutable once it was handed over.
type Batch struct {
	Group GroupID
	// First is the index of Entries[0]. The entries replace everything stored from First on. Ignored without entries.
	First   uint64
	Entries []messages.EncodedEntry
	// HardState is always written. Its term is at least that of every entry, its commit hint at most the last index.
	HardState HardState
	// PinnedPeers maps peers to the store ids to pin; usually nil.
	PinnedPeers map[string]uint64
	// CutTo, if not 0, drops the log up to this index, before Entries are added; CutTerm is the term there. It may be
	// beyond the last index, and is below First.
	CutTo, CutTerm uint64
	// Reset: the whole log is dropped, also what is above CutTo: an installed snapshot takes its place.
	Reset bool
	// Snapshot, if not nil, is the group's snapshot from now on. Its file was finished. Its index is within the log, and not below a cut.
	Snapshot *messages.Snapshot
	// Sync: the batch promises something, so it must be durable when Write returns.
	Sync bool
}

// maxBatchBytes is far below Pebble's limit of 4 GiB.
const maxBatchBytes = 1 << 30

// Write writes the batches, in order, and waits until they are durable if any of them asks for Sync. Each batch is
// atomic, and after a crash a prefix of the batches is found. When Write returns an error, or does not return because
// the disk failed, any prefix may have been stored, and no later Write succeeds. A batch that does not fit the log is
// such an error.
func (s *Store) Write(batches []*Batch) error {
	if len(batches) == 0 {
		return nil
	}
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	return s.orBreak(s.write(batches))
}

// orBreak makes an error the Store's failure.
func (s *Store) orBreak(err error) error {
	if err == nil {
		return nil
	}
	s.fence.fail(sayOf(ErrFailed, err, "nothing more is stored: start the node again"))
	return s.fence.failure()
}

func (s *Store) write(batches []*Batch) error {
	sync := false
	for _, b := range batches {
		// Pebble rotates its memtable for each batch larger than half of it.
		if s.pending.Len() > s.memTable/4 {
			if err := s.apply(false); err != nil {
				return err
			}
		}
		if err := s.stage(b); err != nil {
			return err
		}
		sync = sync || b.Sync
	}
	return s.apply(sync)
}

// apply writes what is pending under the next sequence number.
func (s *Store) apply(sync bool) error {
	s.number++
	op := s.pending.SetDeferred(prefixLen, checksumLen+8)
	appendPrefix(op.Key[:0], 0, kindSequence)
	binary.BigEndian.PutUint64(op.Value[checksumLen:], s.number)
	binary.BigEndian.PutUint32(op.Value, checksum(op.Key, op.Value))
	_ = op.Finish() // fails only for indexed batches
	options := pebble.NoSync
	if sync {
		options = pebble.Sync
	}
	if err := s.db.Apply(s.pending, options); err != nil {
		return sayOf(ErrFailed, err, "the database refused a write, nothing more is stored: start the node again")
	}
	s.pending.Reset()
	if err := s.fence.failure(); err != nil {
		return err
	}
	if sync {
		s.synced = s.number
	}
	if !sync || s.side == nil {
		return nil
	}
	if err := s.side.note(s.number); err != nil {
		return err
	}
	if now := s.options.Now(); now.Sub(s.sideSync) >= s.options.SequenceInterval {
		s.sideSync = now
		return s.side.sync()
	}
	return nil
}

// SyncSequence fsyncs the side file if writes were noted there since its last fsync. Write does so once per
// SequenceInterval; a node that has become idle may call this once.
func (s *Store) SyncSequence() error {
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	s.sideSync = s.options.Now()
	return s.side.sync()
}

// stage adds the batch to what is pending.
func (s *Store) stage(b *Batch) error {
	g, err := s.state(b.Group)
	if err != nil {
		return err
	}
	if err := s.fits(b, g); err != nil {
		return err
	}
	// The block that a truncation shortens may be among what is pending: before anything of this batch is, since that is atomic.
	if truncates := len(b.Entries) > 0 && b.First <= g.last; truncates && g.round == s.number && !s.pending.Empty() {
		if err := s.apply(false); err != nil {
			return err
		}
	}
	if b.CutTo > g.compacted || b.Reset {
		if err := s.cut(b, g); err != nil {
			return err
		}
	}
	if len(b.Entries) > 0 {
		if err := s.append(b, g); err != nil {
			return err
		}
	}
	if b.HardState.Commit > g.last {
		return misuse(b, "its commit index %d is beyond the last entry %d", b.HardState.Commit, g.last)
	}
	if b.Snapshot != nil {
		if err := s.point(b); err != nil {
			return err
		}
	}
	if p := s.snapshots.pointer(b.Group); p != nil && (p.LastIncludedIndex < g.compacted || p.LastIncludedIndex > g.last) {
		return misuse(b, "its snapshot ends at entry %d, and its log has entries %d to %d", p.LastIncludedIndex, g.compacted+1, g.last)
	}
	if len(b.PinnedPeers) > 0 {
		if err := s.pin(b); err != nil {
			return err
		}
	}
	return s.setHardState(b)
}

func (s *Store) pin(b *Batch) error {
	for _, peer := range slices.Sorted(maps.Keys(b.PinnedPeers)) {
		k := peerKey(b.Group, peer)
		value := sealRecord(nil, k, binary.BigEndian.AppendUint64(nil, b.PinnedPeers[peer]))
		if err := s.pending.Set(k, value, nil); err != nil {
			return err
		}
	}
	return nil
}

func misuse(b *Batch, format string, args ...any) error {
	return say(ErrFailed, "a batch for group %d, with %d entries from index %d, cannot be stored: "+format+"; this is a bug in troupe",
		append([]any{b.Group, len(b.Entries), b.First}, args...)...)
}

// fits refuses what recovery would refuse.
func (s *Store) fits(b *Batch, g *groupState) error {
	if b.Reset && b.CutTo < g.compacted {
		return misuse(b, "the log was cut up to %d, and cannot begin at %d again", g.compacted, b.CutTo)
	}
	if err := s.fitsSnapshot(b); err != nil {
		return err
	}
	if len(b.Entries) == 0 {
		return nil
	}
	compacted, last := g.compacted, g.last
	if b.CutTo > compacted {
		compacted, last = b.CutTo, max(last, b.CutTo)
	}
	if b.Reset {
		last = b.CutTo
	}
	if b.First <= compacted {
		return misuse(b, "the log was cut up to %d", compacted)
	}
	if b.First > last+1 {
		return misuse(b, "the log ends at %d", last)
	}
	entry, err := messages.DecodeEntry(b.Entries[len(b.Entries)-1])
	if err != nil {
		return misuse(b, "its last entry cannot be decoded")
	}
	if entry.Term > b.HardState.Term {
		return misuse(b, "its last entry is of term %d, and its hard state of term %d", entry.Term, b.HardState.Term)
	}
	size := 0
	for _, e := range b.Entries {
		size += len(e) + 16
	}
	if size > maxBatchBytes {
		return misuse(b, "it has %d bytes", size)
	}
	return nil
}

func (s *Store) append(b *Batch, g *groupState) error {
	if b.First <= g.last {
		if err := s.truncate(b, g); err != nil {
			return err
		}
	}
	putBlocks(s.pending, b.Group, b.First, b.Entries)
	for i, e := range b.Entries {
		g.sizes.add(b.First+uint64(i), len(e))
	}
	g.last = b.First + uint64(len(b.Entries)) - 1
	g.round = s.number
	return nil
}

// truncate drops all entries from b.First on, so that the batch's entries can take their place.
func (s *Store) truncate(b *Batch, g *groupState) error {
	g.sizes.truncate(b.First)
	from, end := logKey(b.Group, b.First), logEnd(b.Group)
	iter, err := s.iter(from, end)
	if err != nil {
		return err
	}
	defer func() { _ = iter.Close() }()
	if !iter.First() {
		if err := iter.Error(); err != nil {
			return s.cannotRead(err)
		}
		return damaged(s.dir, b.Group, "entry %d is not there", b.First)
	}
	value, err := iter.ValueAndErr()
	if err != nil {
		return s.cannotRead(err)
	}
	straddling, err := openBlock(iter.Key(), value)
	if err != nil {
		return damaged(s.dir, b.Group, "the block that holds entry %d: %v", b.First, err)
	}
	if err := s.pending.DeleteRange(from, end, nil); err != nil {
		return err
	}
	if straddling.first >= b.First || b.First-1 <= g.compacted {
		return nil
	}
	head, err := straddling.head(b.First)
	if err != nil {
		return damaged(s.dir, b.Group, "the block that holds entry %d: %v", b.First, err)
	}
	putBlocks(s.pending, b.Group, straddling.first, head)
	return nil
}

func (s *Store) setHardState(b *Batch) (err error) {
	h := b.HardState
	s.record.Term, s.record.Vote, s.record.Commit, s.record.ClusterId = h.Term, h.Vote, h.Commit, h.ClusterID
	s.record.PromiseMs = uint64(h.Promise / time.Millisecond)
	s.scratch, err = proto.MarshalOptions{}.MarshalAppend(s.scratch[:0], &s.record)
	if err != nil {
		return err
	}
	op := s.pending.SetDeferred(prefixLen, checksumLen+len(s.scratch))
	appendPrefix(op.Key[:0], b.Group, kindHardState)
	copy(op.Value[checksumLen:], s.scratch)
	binary.BigEndian.PutUint32(op.Value, checksum(op.Key, op.Value))
	return op.Finish()
}

// set adds a record to what is pending.
func (s *Store) set(key []byte, m proto.Message) error {
	value, err := encodeRecord(key, m)
	if err != nil {
		return err
	}
	return s.pending.Set(key, value, nil)
}

// state returns what is known of the group's log, reading it at first use.
func (s *Store) state(group GroupID) (*groupState, error) {
	g := s.states[group]
	if g == nil {
		return nil, say(ErrFailed, "there is no group with number %d in %s: this is a bug in troupe", group, s.dir)
	}
	if g.known {
		return g, nil
	}
	var record messages.Compacted
	if _, err := s.get(key(group, kindCompacted), &record); err != nil {
		return nil, err
	}
	iter, err := s.iter(logKey(group, 0), logEnd(group))
	if err != nil {
		return nil, err
	}
	defer func() { _ = iter.Close() }()
	g.compacted, g.last = record.Index, record.Index
	if iter.Last() {
		if len(iter.Key()) != logKeyLen {
			return nil, damaged(s.dir, group, "%v", errFraming)
		}
		g.last = max(g.last, binary.BigEndian.Uint64(iter.Key()[logPrefixLen:])) // what is below a cut may still be there
	}
	if err := iter.Error(); err != nil {
		return nil, s.cannotRead(err)
	}
	sizes, recovered := s.cuts.takeSizes(group)
	if !recovered { // what is there already is not counted
		sizes = newMarks(s.options.LogGranule)
		sizes.begin.Last, sizes.end.Last = g.compacted, g.last
	}
	g.sizes, g.known = sizes, true
	return g, nil
}

func (s *Store) iter(lower, upper []byte) (*pebble.Iterator, error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.cannotRead(err)
	}
	return iter, nil
}

func (s *Store) cannotRead(err error) error {
	return sayOf(ErrDamaged, err, "the database in %s cannot be read; %s", s.dir, wipeAdvice)
}
