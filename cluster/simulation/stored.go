package simulation

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// stored is what a group has on a disk: the model that "durable" is held against.
type stored struct {
	hard persistence.HardState
	log  logged
	// snapshot is what the store points to.
	snapshot *messages.Snapshot
	pins     map[string]uint64 // the data directories of peers
	// truncated says in which term an entry that was there was last taken away.
	truncated map[place]uint64
	// later was written without a sync, since it promises nothing: a crash keeps any number of the first.
	later []*persistence.Batch
}

func newStored(groups int) []stored {
	all := make([]stored, groups)
	for i := range all {
		all[i] = stored{pins: map[string]uint64{}, truncated: map[place]uint64{}}
	}
	return all
}

// synced: a sync covers all that was written before it.
func (s *stored) synced() {
	for _, b := range s.later {
		s.take(b)
	}
	s.later = s.later[:0]
}

func (s *stored) take(b *persistence.Batch) {
	s.hard = b.HardState
	maps.Copy(s.pins, b.PinnedPeers)
	if b.Snapshot != nil {
		s.snapshot = b.Snapshot
	}
	if b.Reset {
		s.log = replaced(b.CutTo, b.CutTerm, b.Snapshot.GetCharter().GetLevel(), membersOf(b.Snapshot))
	}
	s.log.cut(b.CutTo, b.CutTerm)
	if len(b.Entries) == 0 {
		return
	}
	for i := b.First; i <= s.log.last(); i++ {
		s.truncated[place{i, s.log.at(i).term}] = b.HardState.Term
	}
	s.log.truncate(b.First)
	for _, e := range b.Entries {
		s.log.append(identify(e))
	}
}

// hadIn says whether the entry at index was there at the end of the term, or is there now.
func (s *stored) hadIn(term, index uint64, id entryID) bool {
	return s.log.covers(index, id) || s.truncated[place{index, id.term}] > term
}

// compare holds what a store recovered against the model, and takes note of what the crash kept.
func (s *stored) compare(got persistence.Recovered) error {
	err := s.differs(got)
	for len(s.later) > 0 && err != nil {
		s.take(s.later[0])
		s.later = s.later[1:]
		err = s.differs(got)
	}
	s.later = nil
	return err
}

func (s *stored) differs(got persistence.Recovered) error {
	if got.HardState != s.hard || got.Compacted != s.log.before || got.Last != s.log.last() || !maps.Equal(got.PeerStores, s.pins) {
		return fmt.Errorf("it has %+v, the entries (%d, %d] and the pins %v, but %+v, (%d, %d] and %v were synced",
			got.HardState, got.Compacted, got.Last, got.PeerStores, s.hard, s.log.before, s.log.last(), s.pins)
	}
	if !proto.Equal(got.Snapshot, s.snapshot) {
		return fmt.Errorf("it points to the snapshot %v, but %v was synced", got.Snapshot, s.snapshot)
	}
	if got.CompactedTerm != s.log.term {
		return fmt.Errorf("it was cut at term %d, but %d was synced", got.CompactedTerm, s.log.term)
	}
	span := -1
	for i := s.log.before + 1; i <= s.log.last(); i++ {
		for span+1 < len(got.Spans) && got.Spans[span+1].First == i {
			span++
		}
		if term := s.log.at(i).term; got.Spans[span].Term != term {
			return fmt.Errorf("it has term %d at %d, but %d was synced", got.Spans[span].Term, i, term)
		}
	}
	return nil
}

// recorder is the store as the journal sees it: what is written goes into the model, too.
type recorder struct{ n *node }

func (r recorder) Write(batches []*persistence.Batch) error {
	d, before := r.n.disk, r.n.disk.syncs.Load()
	if err := r.n.store.Write(batches); err != nil {
		if r.n.store.Failed() != nil {
			select {} // as most writes end on a failed disk: the run goes on without them
		}
		return err
	}
	for _, b := range batches {
		s := &d.groups[d.groupOf[b.Group]]
		s.later = append(s.later, b)
	}
	if !slices.ContainsFunc(batches, func(b *persistence.Batch) bool { return b.Sync }) {
		return nil
	}
	if d.syncs.Load() == before {
		r.n.w.fail("a write that promises something is synced", "%s writes %d batches without a sync", r.n.id, len(batches))
	}
	for g := range d.groups {
		d.groups[g].synced()
	}
	return nil
}

func (r recorder) Reclaimable() bool { return r.n.store.Reclaimable() }

func (r recorder) Reclaim() error { return r.n.store.Reclaim() }

// entryID is what makes an entry the same as another: term and contents.
type entryID struct {
	term, hash uint64
	kind       messages.Entry_Kind
	level      uint32 // that it sets; 0: none
	members    string // a configuration's data
	time       uint64 // log time, if it is stamped
	session    messages.SessionCommand
}

func identify(encoded messages.EncodedEntry) entryID {
	e, err := messages.DecodeEntry(encoded)
	if err != nil {
		panic(err)
	}
	id := entryID{e.Term, contents(e.Kind, e.Data), e.Kind, levelOf(e), "", e.Time, e.Session}
	if e.Kind == messages.Entry_KIND_CONFIGURATION {
		id.members = string(e.Data)
	}
	return id
}

// levelOf is the feature level that an entry sets, or 0.
func levelOf(e messages.EntryView) uint32 {
	var founding messages.Founding
	var raised messages.FeatureLevel
	switch {
	case e.Kind == messages.Entry_KIND_FOUNDING && proto.Unmarshal(e.Data, &founding) == nil:
		return founding.Level
	case e.Kind == messages.Entry_KIND_LEVEL && proto.Unmarshal(e.Data, &raised) == nil:
		return raised.Level
	}
	return 0
}

// membersOf is the configuration of a snapshot, if it is not the founding one.
func membersOf(s *messages.Snapshot) string {
	c := s.GetCharter().GetConfiguration()
	if c.GetIndex() <= 1 {
		return ""
	}
	encoded, err := deterministic.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

func contents(kind messages.Entry_Kind, data []byte) uint64 {
	var t trace
	t.number(uint64(kind))
	t.bytes(data)
	return t.hash
}
