package kv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// writing is a view that is written out, a write at a time, while other things happen.
type writing struct {
	view    actors.View
	next    func() ([]byte, bool)
	stop    func()
	written []byte
	ended   bool
	// want is the map at the moment of the view.
	want *model
	hash [32]byte
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

var errStopped = errors.New("the reader went away")

func (m *model) clone() *model {
	return &model{values: maps.Clone(m.values), versions: maps.Clone(m.versions), floor: m.floor}
}

func startWriting(t *rapid.T, m *Map, want *model) *writing {
	view, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Snapshot(); err == nil {
		t.Fatal("a second view was opened beside the first")
	}
	w := &writing{view: view, want: want.clone(), hash: m.Hash()}
	accepted := int64(0)
	w.next, w.stop = iter.Pull(func(yield func([]byte) bool) {
		n, err := view.WriteTo(writerFunc(func(b []byte) (int, error) {
			if len(b) > bufferBytes {
				t.Fatalf("a write has %d bytes", len(b))
			}
			if w.ended {
				t.Fatal("a write after the writer's error")
			}
			if !yield(bytes.Clone(b)) {
				w.ended = true
				return 0, errStopped
			}
			accepted += int64(len(b))
			return len(b), nil
		}))
		if w.ended != (err != nil) || err != nil && !errors.Is(err, errStopped) || n != accepted {
			t.Fatalf("wrote %d bytes, %d were accepted, %v", n, accepted, err)
		}
	})
	return w
}

// write takes up to n writes, and says whether there will be more.
func (w *writing) write(n int) (more bool) {
	for range n {
		b, more := w.next()
		if !more {
			return false
		}
		w.written = append(w.written, b...)
	}
	return true
}

func check(t *rapid.T, m *Map, want *model) {
	if m.Len() != len(want.values) || m.floor != want.floor {
		t.Fatalf("%d keys with floor %d, want %d with %d", m.Len(), m.floor, len(want.values), want.floor)
	}
	for key := range universe {
		b, err := m.Query(t.Context(), kvwire.Get(key))
		if err != nil {
			t.Fatal(err)
		}
		got, err := kvwire.DecodeGetAnswer(b)
		value, found := want.values[key]
		if err != nil || got.Found != found || string(got.Value) != value || found && got.Version != want.versions[key] {
			t.Fatalf("%s: %.20q with version %d, %v, %v; want %.20q with %d",
				key, got.Value, got.Version, got.Found, err, value, want.versions[key])
		}
	}
}

// finish writes out the rest of the view, and restores it.
func (w *writing) finish(t *rapid.T) {
	for w.write(1) {
	}
	m := NewMap()
	if err := m.Restore(bytes.NewReader(w.written)); err != nil {
		t.Fatal(err)
	}
	check(t, m, w.want)
	if m.Hash() != w.hash {
		t.Fatal("the restored map has another hash than the map had at the moment of the view")
	}
	keys, _, hash, err := Inspect(bytes.NewReader(w.written))
	if err != nil || keys != len(w.want.values) || hash != w.hash {
		t.Fatalf("inspected: %d keys, %v; want %d", keys, err, len(w.want.values))
	}
}

// universe is enough keys for a tree of several levels.
var universe = func() map[string]int {
	keys := map[string]int{}
	for i := range 700 {
		keys[fmt.Sprintf("key-%d", i)] = i
	}
	return keys
}()

// apply proposes one command to map and model, and returns the result that the model expects.
func (m *model) apply(t *rapid.T, op string, key, value string) (command, result []byte) {
	present, found := m.values[key]
	switch op {
	case "put":
		return kvwire.Put(key, []byte(value)), appendResult(nil, true, m.put(key, value))
	case "delete":
		version := m.versions[key]
		if found {
			m.floor = max(m.floor, version)
			delete(m.values, key)
		} else {
			version = 0
		}
		return kvwire.Delete(key), appendResult(nil, found, version)
	case "create":
		if command = kvwire.CompareAndSwap(key, nil, []byte(value)); !found {
			return command, appendResult(nil, true, m.put(key, value))
		}
		return command, appendResult(nil, false, m.versions[key])
	}
	// swap, with the present value
	if command = kvwire.CompareAndSwap(key, append([]byte{}, present...), []byte(value)); found {
		return command, appendResult(nil, true, m.put(key, value))
	}
	return command, appendResult(nil, false, 0)
}

func applyBatch(t *rapid.T, m *Map, want *model) {
	first := rapid.IntRange(0, len(universe)-1).Draw(t, "first key")
	count := rapid.SampledFrom([]int{1, 2, 3, 30, 400}).Draw(t, "commands")
	stride := rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "stride")
	ops := rapid.SliceOfN(rapid.SampledFrom([]string{"put", "delete", "create", "swap"}), 1, 3).Draw(t, "operations")
	values := rapid.SliceOfN(rapid.SampledFrom([]string{"", "1", "22", "22222222", strings.Repeat("long", 800)}), 1, 3).Draw(t, "values")
	var entries []actors.Entry
	var results [][]byte
	for i := range count {
		key := fmt.Sprintf("key-%d", (first+i*stride)%len(universe))
		command, result := want.apply(t, ops[i%len(ops)], key, values[i%len(values)])
		entries, results = append(entries, actors.Entry{Command: command}), append(results, result)
	}
	for i, r := range m.Apply(entries) {
		if r.Err != nil || !bytes.Equal(r.Value, results[i]) {
			t.Fatalf("command %d: %x %v, want %x", i, r.Value, r.Err, results[i])
		}
	}
	for _, e := range entries { // nothing of them may be kept
		clear(e.Command)
	}
}

// Whatever happens, and in whichever order: results are the model's, and a view is the map at its moment.
func TestViewsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, want := NewMap(), &model{values: map[string]string{}, versions: map[string]uint64{}}
		var open *writing
		var kept *writing // a view that was written to its end
		closeView := func() {
			open.stop()
			if err := open.view.Close(); err != nil {
				t.Fatal(err)
			}
			open = nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"apply":  func(t *rapid.T) { applyBatch(t, m, want) },
			"apply2": func(t *rapid.T) { applyBatch(t, m, want) },
			"snapshot": func(t *rapid.T) {
				if open != nil {
					t.Skip()
				}
				open = startWriting(t, m, want)
			},
			"write": func(t *rapid.T) {
				if open == nil {
					t.Skip()
				}
				open.write(rapid.IntRange(1, 3).Draw(t, "writes"))
			},
			"finish": func(t *rapid.T) {
				if open == nil {
					t.Skip()
				}
				open.finish(t)
				kept = open
				closeView()
			},
			"close": func(t *rapid.T) {
				if open == nil {
					t.Skip()
				}
				closeView()
			},
			"restore": func(t *rapid.T) {
				if kept == nil {
					t.Skip()
				}
				if err := m.Restore(bytes.NewReader(kept.written)); err != nil {
					t.Fatal(err)
				}
				want = kept.want.clone()
				if open != nil { // it is a view of what was there before
					open.finish(t)
					closeView()
				}
			},
			"": func(t *rapid.T) { check(t, m, want) },
		})
		if open != nil {
			open.finish(t)
			closeView()
		}
	})
}

// A writer on another goroutine beside Apply. The race detector looks on.
func TestViewIsWrittenBesideApply(t *testing.T) {
	m, batches := filled(20_000)
	for range 3 { // later views open while the merge goes on
		hash := m.Hash()
		view := frozen(t, m)
		var state bytes.Buffer
		done := make(chan error)
		go func() {
			_, err := view.WriteTo(&state)
			done <- err
		}()
		for i, writing := 0, true; writing; i++ {
			select {
			case err := <-done:
				if writing = false; err != nil {
					t.Fatal(err)
				}
			default:
				m.Apply(batches[i%len(batches)])
				m.Apply([]actors.Entry{{Command: kvwire.Delete(fmt.Sprintf("key-%d", i%20_000))}})
			}
		}
		closed(t, view)
		m.Apply(batches[0][:1])
		if _, _, got, err := Inspect(&state); err != nil || got != hash {
			t.Fatalf("another hash, or %v", err)
		}
	}
}

// Views in a row, with next to nothing between them, leave nothing behind.
func TestFrequentViewsOfAnIdleMapCostNothing(t *testing.T) {
	m, batches := filled(5000)
	view := frozen(t, m)
	for _, entries := range batches {
		m.Apply(entries)
	}
	closed(t, view)
	left := m.items.recent.Len()
	for range 1000 {
		closed(t, frozen(t, m))
		if m.items.recent != nil && m.items.recent.Len() > left {
			t.Fatalf("%d changes are to be merged, there were %d", m.items.recent.Len(), left)
		}
	}
	if m.items.recent != nil {
		t.Fatal("the merge never ended")
	}
}

// Small batches end a merge, too.
func TestMergeEnds(t *testing.T) {
	m, batches := filled(5000)
	view := frozen(t, m)
	for _, entries := range batches {
		m.Apply(entries)
	}
	if m.items.recent.Len() != 5000 {
		t.Fatalf("%d changes beside the view", m.items.recent.Len())
	}
	closed(t, view)
	for i := 0; m.items.recent != nil; i++ {
		if i > 5000/leastMerged {
			t.Fatalf("%d changes are left", m.items.recent.Len())
		}
		m.Apply(batches[0][:1])
	}
}

// half is a map whose items were all changed by change while a view was open, and only some of them merged since.
func half(t *testing.T, change func(key string) []byte) (m *Map, all func(func(key string) []byte)) {
	const keys = 10 * leastMerged
	m, _ = filled(keys)
	all = func(command func(key string) []byte) {
		var entries []actors.Entry
		for i := range keys {
			entries = append(entries, actors.Entry{Command: command(fmt.Sprintf("key-%d", i))})
		}
		m.Apply(entries)
	}
	view := frozen(t, m)
	all(change)
	closed(t, view)
	if n := m.items.recent.Len(); n != keys-leastMerged {
		t.Fatalf("%d changes are left", n)
	}
	return m, all
}

func TestViewDuringMergeKeepsItsValues(t *testing.T) {
	put := func(value string) func(string) []byte {
		return func(key string) []byte { return kvwire.Put(key, []byte(value)) }
	}
	m, all := half(t, put("first"))
	hash, view := m.Hash(), frozen(t, m)
	all(put("later"))
	var state bytes.Buffer
	if _, err := view.WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	if _, _, got, err := Inspect(&state); err != nil || got != hash {
		t.Errorf("the view has another hash than the map had, or %v", err)
	}
}

func TestKeysComeBackDuringMerge(t *testing.T) {
	m, all := half(t, kvwire.Delete)
	if m.Len() != 0 {
		t.Fatalf("%d keys after all were deleted", m.Len())
	}
	all(func(key string) []byte { return kvwire.Put(key, nil) })
	mergeAll(m)
	if len(m.items.base) != m.Len() || m.Len() == 0 {
		t.Errorf("%d keys, %d are there", m.Len(), len(m.items.base))
	}
}

// A view is written in pieces of the buffer's size, whatever the size of a value.
func TestLargestValueIsWrittenInPieces(t *testing.T) {
	m := NewMap()
	m.Apply([]actors.Entry{{Command: kvwire.Put("k", make([]byte, MaxValueBytes))}})
	var state bytes.Buffer
	_, err := frozen(t, m).WriteTo(writerFunc(func(b []byte) (int, error) {
		if len(b) > bufferBytes {
			t.Errorf("a write has %d bytes", len(b))
		}
		return state.Write(b)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, size, hash, err := Inspect(&state); err != nil || hash != m.Hash() || size != 1+MaxValueBytes {
		t.Error(size, err)
	}
}

func TestSnapshotOfMillionsIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a map with millions of items")
	}
	m, batches := filled(2_000_000)
	quickest := time.Hour // of some, as the machine may do other things
	for range 10 {
		start := time.Now()
		view := frozen(t, m)
		quickest = min(quickest, time.Since(start))
		m.Apply(batches[0])
		closed(t, view)
	}
	if quickest > time.Millisecond {
		t.Errorf("a snapshot took %v", quickest)
	}
}
