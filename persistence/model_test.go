package persistence

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/messages"
)

func init() {
	// Fewer than rapid's 100; the command line may say otherwise.
	if err := flag.Set("rapid.checks", "60"); err != nil {
		panic(err)
	}
}

// groupModel is what a group should hold.
type groupModel struct {
	compacted, cutTerm uint64
	entries            []messages.EncodedEntry // of (compacted, last]
	terms              []uint64
	hard               HardState
	pins               map[string]uint64
	snapshot           *messages.Snapshot
}

func (m groupModel) last() uint64 { return m.compacted + uint64(len(m.entries)) }

func (m groupModel) term(i uint64) uint64 {
	if i == m.compacted {
		return m.cutTerm
	}
	return m.terms[i-m.compacted-1]
}

// apply returns the model after a batch. Nothing is shared that changes.
func (m groupModel) apply(b *Batch) groupModel {
	if b.Snapshot != nil {
		m.snapshot = b.Snapshot
	}
	if b.Reset {
		m.entries, m.terms = nil, nil
	}
	if b.CutTo > m.compacted {
		gone := min(b.CutTo-m.compacted, uint64(len(m.entries)))
		m.entries, m.terms = m.entries[gone:], m.terms[gone:]
		m.compacted, m.cutTerm = b.CutTo, b.CutTerm
	}
	if len(b.Entries) > 0 {
		keep := b.First - m.compacted - 1
		m.entries = append(slices.Clone(m.entries[:keep]), b.Entries...)
		m.terms = slices.Clone(m.terms[:keep])
		for _, e := range b.Entries {
			view, err := messages.DecodeEntry(e)
			if err != nil {
				panic(err)
			}
			m.terms = append(m.terms, view.Term)
		}
	}
	m.hard = b.HardState
	if len(b.PinnedPeers) > 0 {
		m.pins = maps.Clone(m.pins)
		if m.pins == nil {
			m.pins = map[string]uint64{}
		}
		maps.Copy(m.pins, b.PinnedPeers)
	}
	return m
}

// differs says how the store differs from the model, or nothing.
func (m groupModel) differs(found Recovered, read []messages.EncodedEntry) string {
	switch {
	case found.Compacted != m.compacted || found.CompactedTerm != m.cutTerm:
		return fmt.Sprintf("cut to %d of term %d, want %d of term %d", found.Compacted, found.CompactedTerm, m.compacted, m.cutTerm)
	case !proto.Equal(found.Snapshot, m.snapshot):
		return fmt.Sprintf("snapshot %v, want %v", found.Snapshot, m.snapshot)
	case found.Last != m.last():
		return fmt.Sprintf("last index %d, want %d", found.Last, m.last())
	case found.HardState != m.hard:
		return fmt.Sprintf("hard state %+v, want %+v", found.HardState, m.hard)
	case !maps.Equal(found.PeerStores, m.pins):
		return fmt.Sprintf("pins %v, want %v", found.PeerStores, m.pins)
	case !slices.EqualFunc(read, m.entries, bytes.Equal):
		return "other entries"
	case !slices.Equal(found.Spans, spansOf(m)):
		return fmt.Sprintf("spans %v, want %v", found.Spans, spansOf(m))
	}
	return ""
}

func spansOf(m groupModel) (spans []TermSpan) {
	for i, term := range m.terms {
		if i == 0 || term != m.terms[i-1] {
			spans = append(spans, TermSpan{m.compacted + 1 + uint64(i), term})
		}
	}
	return spans
}

// world is a store beside its model.
type world struct {
	t   *rapid.T
	mem *vfs.MemFS
	s   *Store
	// history has the model after each batch; the first durable ones must survive a crash.
	history []map[GroupID]groupModel
	durable int
	// states are what the snapshots have, by digest.
	states map[string][]byte
}

func TestStoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, mem: vfs.NewCrashableMem(), history: []map[GroupID]groupModel{{}}, states: map[string][]byte{}}
		w.open()
		defer func() { _ = w.s.Close() }()
		w.found(t)
		t.Repeat(map[string]func(*rapid.T){
			"found":  w.found,
			"commit": w.commit,
			"again":  w.commit,
			"more":   w.commit,
			"take":   w.take,
			"tidy":   w.tidy,
			"read":   w.read,
			"flush":  w.flush,
			"reopen": w.reopen,
			"crash":  w.crash,
			"check":  func(*rapid.T) { w.check() },
		})
		w.check()
	})
}

func (w *world) now() map[GroupID]groupModel { return w.history[len(w.history)-1] }

func (w *world) push(g GroupID, m groupModel) {
	next := maps.Clone(w.now())
	next[g] = m
	w.history = append(w.history, next)
}

func (w *world) open() {
	o := memOptions(w.mem)
	o.MemTableSize = 64 << 10 // so that writes are split and tables are written often
	o.ExciseBytes, o.LogGranule = 5000, 500
	s, err := Open(dataDir, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) found(t *rapid.T) {
	if len(w.now()) == 3 {
		return
	}
	record, err := w.s.Group(fmt.Sprint("g", len(w.now())), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.push(GroupID(record.Number), groupModel{})
	w.durable = len(w.history)
}

func (w *world) commit(t *rapid.T) {
	var batches []*Batch
	synced := false
	for range rapid.IntRange(1, 5).Draw(t, "batches") {
		g := rapid.SampledFrom(slices.Sorted(maps.Keys(w.now()))).Draw(t, "group")
		m := w.now()[g]
		b := drawBatch(t, g, m)
		synced = synced || b.Sync
		w.push(g, m.apply(b))
		batches = append(batches, b)
	}
	if err := w.s.Write(batches); err != nil {
		t.Fatal(err)
	}
	if synced {
		w.durable = len(w.history)
	}
}

func drawBatch(t *rapid.T, g GroupID, m groupModel) *Batch {
	b := &Batch{Group: g, Sync: rapid.Bool().Draw(t, "sync")}
	floor := m.compacted
	room := m.last() // a cut does not pass the snapshot
	if m.snapshot != nil {
		room = m.snapshot.LastIncludedIndex
	}
	switch rapid.IntRange(0, 9).Draw(t, "cut") {
	case 0:
		b.CutTo = rapid.Uint64Range(m.compacted, room).Draw(t, "cut to")
		b.CutTerm = m.term(b.CutTo)
		floor = b.CutTo
	case 1:
		if m.snapshot != nil {
			break
		}
		b.CutTo = m.last() + rapid.Uint64Range(1, 5).Draw(t, "beyond")
		b.CutTerm = m.hard.Term
		floor = b.CutTo
	}
	last := max(m.last(), floor)
	term := m.hard.Term
	if rapid.IntRange(0, 9).Draw(t, "entries") > 0 {
		b.First = last + 1
		if last > floor && rapid.IntRange(0, 2).Draw(t, "conflict") == 0 {
			lowest := floor + 1
			if m.snapshot != nil {
				lowest = max(lowest, min(last, room)+1)
			}
			b.First = rapid.Uint64Range(lowest, last+1).Draw(t, "first")
		}
		low := b.CutTerm
		if b.First-1 != b.CutTo && b.First-1 <= m.last() {
			low = m.term(b.First - 1)
		}
		b.Entries, term = drawEntries(t, low, max(term, low))
		last = b.First + uint64(len(b.Entries)) - 1
	}
	b.HardState = HardState{
		Term:   term + rapid.Uint64Range(0, 1).Draw(t, "later"),
		Vote:   rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "vote"),
		Commit: rapid.Uint64Range(0, last).Draw(t, "commit"),
	}
	if rapid.IntRange(0, 9).Draw(t, "pin") == 0 {
		b.PinnedPeers = map[string]uint64{rapid.SampledFrom([]string{"n2", "n3"}).Draw(t, "peer"): rapid.Uint64().Draw(t, "store")}
	}
	return b
}

// drawEntries makes entries whose terms do not fall, from low up to at most high+1; it returns the highest term seen.
func drawEntries(t *rapid.T, low, high uint64) (entries []messages.EncodedEntry, top uint64) {
	term := low
	size := rapid.SampledFrom([]int{0, 1, 100, 4000}).Draw(t, "size")
	salt := rapid.Uint8().Draw(t, "salt")
	for range rapid.IntRange(1, 12).Draw(t, "count") {
		if rapid.IntRange(0, 4).Draw(t, "raise") == 0 && term <= high {
			term++
		}
		entries = append(entries, messages.EncodeEntry(max(term, 1), messages.Entry_KIND_COMMAND, bytes.Repeat([]byte{salt}, size)))
		term = max(term, 1)
	}
	return entries, max(term, high)
}

// contents recovers and reads all groups.
func (w *world) contents() (map[GroupID]Recovered, map[GroupID][]messages.EncodedEntry) {
	recovered, read := map[GroupID]Recovered{}, map[GroupID][]messages.EncodedEntry{}
	records, err := w.s.Groups()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, record := range records {
		g := GroupID(record.Number)
		if recovered[g], err = w.s.Recover(g); err != nil {
			w.t.Fatal(err)
		}
		again, err := w.s.Recover(g)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(recovered[g]) {
			w.t.Fatalf("recovered again: %+v, %v, first %+v", again, err, recovered[g])
		}
		if p := recovered[g].Snapshot; p != nil {
			if state := mustReadSnapshot(w.t, w.s, g, p); !bytes.Equal(state, w.states[string(p.Digest)]) {
				w.t.Fatalf("the snapshot at %d has another state", p.LastIncludedIndex)
			}
		}
		lo, hi := recovered[g].Compacted+1, recovered[g].Last+1
		if _, read[g], err = w.s.Read(g, lo, hi, 1<<30); lo < hi && err != nil {
			w.t.Fatal(err)
		}
	}
	return recovered, read
}

// take takes or receives a snapshot, points to it, and may cut, or drop, the log.
func (w *world) take(t *rapid.T) {
	g := rapid.SampledFrom(slices.Sorted(maps.Keys(w.now()))).Draw(t, "group")
	m := w.now()[g]
	lowest, highest := max(m.compacted, 1), m.last()+3
	if m.snapshot != nil {
		lowest = m.snapshot.LastIncludedIndex + 1
	}
	index := rapid.Uint64Range(lowest, max(lowest, highest)).Draw(t, "index")
	term := m.hard.Term
	if index <= m.last() {
		term = m.term(index)
	}
	state := bytes.Repeat([]byte{byte(index)}, rapid.IntRange(0, 9000).Draw(t, "bytes"))
	snapshot := mustTake(t, w.s, g, index, term, slices.Collect(slices.Chunk(state, 4000))...)
	w.states[string(snapshot.Digest)] = state
	b := &Batch{Group: g, Snapshot: snapshot, HardState: m.hard, Sync: rapid.Bool().Draw(t, "sync")}
	if index > m.last() || rapid.Bool().Draw(t, "cut") {
		b.CutTo, b.CutTerm = index, term
		b.Reset = rapid.Bool().Draw(t, "reset")
		if b.Reset {
			b.HardState.Commit = min(b.HardState.Commit, index)
		}
	}
	w.push(g, m.apply(b))
	mustWrite(t, w.s, b)
	if b.Sync {
		w.durable = len(w.history)
	}
}

// tidy reclaims what cuts left, and removes the files of old snapshots.
func (w *world) tidy(t *rapid.T) {
	for turns := 0; w.s.Reclaimable(); turns++ {
		if err := w.s.Reclaim(); err != nil || turns > len(w.now()) {
			t.Fatalf("still reclaimable after %d turns: %v", turns, err)
		}
	}
	if w.durable == len(w.history) {
		for g, m := range w.now() {
			w.s.RemoveSnapshots(g, m.snapshot)
		}
	}
}

// difference compares all groups with one state of the model.
func difference(want map[GroupID]groupModel, recovered map[GroupID]Recovered, read map[GroupID][]messages.EncodedEntry) string {
	if len(want) != len(recovered) {
		return fmt.Sprintf("%d groups, want %d", len(recovered), len(want))
	}
	for g, m := range want {
		if d := m.differs(recovered[g], read[g]); d != "" {
			return fmt.Sprintf("group %d: %s", g, d)
		}
	}
	return ""
}

func (w *world) check() {
	recovered, read := w.contents()
	if d := difference(w.now(), recovered, read); d != "" {
		w.t.Fatal(d)
	}
}

func (w *world) read(t *rapid.T) {
	g := rapid.SampledFrom(slices.Sorted(maps.Keys(w.now()))).Draw(t, "group")
	m := w.now()[g]
	lo := rapid.Uint64Range(m.compacted+1, m.last()+1).Draw(t, "lo")
	hi := rapid.Uint64Range(lo, m.last()+1).Draw(t, "hi")
	room := rapid.SampledFrom([]int{0, 100, 5000, 1 << 30}).Draw(t, "bytes")
	prev, entries, err := w.s.Read(g, lo, hi, room)
	if err != nil || prev != m.term(lo-1) {
		t.Fatalf("Read(%d, %d) = term %d, %v, want term %d", lo, hi, prev, err, m.term(lo-1))
	}
	want := m.entries[lo-m.compacted-1 : hi-m.compacted-1]
	for n := range want {
		if room -= len(want[n]); room < 0 && n > 0 {
			want = want[:n]
			break
		}
	}
	if !slices.EqualFunc(entries, want, bytes.Equal) {
		t.Fatalf("Read(%d, %d) returned %d entries, want %d", lo, hi, len(entries), len(want))
	}
}

func (w *world) flush(t *rapid.T) {
	if err := w.s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	w.durable = len(w.history)
}

func (w *world) reopen(t *rapid.T) {
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.durable = len(w.history)
	w.open()
	w.check()
}

// crash loses what was not synced, or part of it. What is found must be the state after some batch, no earlier than the
// last that was promised.
func (w *world) crash(t *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 0, 30, 70, 100}).Draw(t, "percent")
	seed := rapid.Uint64().Draw(t, "seed")
	mem := w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: newRand(seed)})
	_ = w.s.Close()
	w.mem = mem
	w.open()
	recovered, read := w.contents()
	var why string
	for i := len(w.history) - 1; i >= w.durable-1; i-- {
		d := difference(w.history[i], recovered, read)
		if d == "" {
			w.history, w.durable = w.history[i:i+1], 1
			return
		}
		if why == "" {
			why = d
		}
	}
	t.Fatalf("after a crash, of %d states of which %d were promised, none matches; the last: %s", len(w.history), w.durable, why)
}
