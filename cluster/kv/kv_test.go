package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// local is a group of one map, without a cluster.
type local struct {
	m     *Map
	index uint64
}

func (l *local) Propose(_ context.Context, command []byte, _ ...cluster.ProposeOption) (cluster.Result, error) {
	l.index++
	r := l.m.Apply([]actors.Entry{{Index: l.index, Command: command}})[0]
	if r.Err != nil {
		return cluster.Result{}, &actors.RejectedError{Reason: r.Err}
	}
	return cluster.Result{Index: l.index, Value: r.Value}, nil
}

func (l *local) Query(ctx context.Context, _ cluster.ReadOptions, query []byte) (cluster.Result, error) {
	value, err := l.m.Query(ctx, query)
	return cluster.Result{Value: value}, err
}

func open() *KV { return Open(&local{m: NewMap()}) }

func TestOperations(t *testing.T) {
	ctx, k := t.Context(), open()
	version := func(want uint64) func(uint64, error) {
		return func(v uint64, err error) {
			t.Helper()
			if err != nil || v != want {
				t.Fatalf("version %d, error %v; want version %d", v, err, want)
			}
		}
	}
	swap := func(key string, old, value []byte, wantSwapped bool, wantVersion uint64) {
		t.Helper()
		swapped, v, err := k.CompareAndSwap(ctx, key, old, value)
		if err != nil || swapped != wantSwapped || v != wantVersion {
			t.Fatalf("swapped %v to version %d, error %v; want %v, %d", swapped, v, err, wantSwapped, wantVersion)
		}
	}
	remove := func(key string, want bool) {
		t.Helper()
		if deleted, err := k.Delete(ctx, key); err != nil || deleted != want {
			t.Fatalf("deleted %v, error %v; want %v", deleted, err, want)
		}
	}
	if _, _, found, err := k.Get(ctx, "a"); found || err != nil {
		t.Fatal(found, err)
	}
	remove("a", false)
	version(1)(k.Put(ctx, "a", []byte("x")))
	version(2)(k.Put(ctx, "a", nil))
	version(1)(k.Put(ctx, "b", []byte("y")))
	swap("a", []byte("x"), []byte("z"), false, 2)
	swap("a", nil, []byte("z"), false, 2)
	swap("a", []byte{}, []byte("z"), true, 3)
	swap("c", []byte{}, []byte("z"), false, 0)
	swap("c", nil, []byte("z"), true, 1)
	value, v, found, err := k.Get(ctx, "a")
	if string(value) != "z" || v != 3 || !found || err != nil {
		t.Fatalf("%q %d %v %v", value, v, found, err)
	}
	remove("a", true)
	remove("a", false)
	version(4)(k.Put(ctx, "a", []byte("again"))) // never back, although the key was gone
	version(4)(k.Put(ctx, "d", nil))             // above every deleted key's
	version(2)(k.Put(ctx, "b", nil))
}

func TestLongOldValuesTravelAsDigests(t *testing.T) {
	ctx, k := t.Context(), open()
	long := bytes.Repeat([]byte("v"), MaxValueBytes)
	if _, err := k.Put(ctx, "a", long); err != nil {
		t.Fatal(err)
	}
	if size := len(kvwire.CompareAndSwap("a", long, long)); size > MaxValueBytes+100 {
		t.Fatalf("the command has %d bytes", size)
	}
	other := bytes.Clone(long)
	other[len(other)-1]++
	if swapped, _, err := k.CompareAndSwap(ctx, "a", other, nil); swapped || err != nil {
		t.Fatal(swapped, err)
	}
	if swapped, _, err := k.CompareAndSwap(ctx, "a", long, nil); !swapped || err != nil {
		t.Fatal(swapped, err)
	}
	for size := kvwire.DigestAbove - 1; size <= kvwire.DigestAbove+1; size++ {
		if _, err := k.Put(ctx, "b", long[:size]); err != nil {
			t.Fatal(err)
		}
		if swapped, _, err := k.CompareAndSwap(ctx, "b", long[:size], []byte("w")); !swapped || err != nil {
			t.Fatal(size, swapped, err)
		}
	}
}

func TestInvalidRequestsAreRefusedWithASentence(t *testing.T) {
	ctx, k := t.Context(), open()
	big := make([]byte, MaxValueBytes+1)
	longKey := strings.Repeat("k", MaxKeyBytes+1)
	put := func(key string, value []byte) error { _, err := k.Put(ctx, key, value); return err }
	get := func(key string) error { _, _, _, err := k.Get(ctx, key); return err }
	remove := func(key string) error { _, err := k.Delete(ctx, key); return err }
	swap := func(key string, old, value []byte) error {
		_, _, err := k.CompareAndSwap(ctx, key, old, value)
		return err
	}
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"put empty key":      {put("", nil), "the key is empty"},
		"put long key":       {put(longKey, nil), "4097 bytes"},
		"put binary key":     {put("\xff", nil), "UTF-8"},
		"put large value":    {put("k", big), "1048577 bytes"},
		"get empty key":      {get(""), "the key is empty"},
		"get long key":       {get(longKey), "at most 4096"},
		"delete empty key":   {remove(""), "the key is empty"},
		"swap empty key":     {swap("", nil, nil), "the key is empty"},
		"swap large value":   {swap("k", nil, big), "at most 1048576"},
		"swap old too large": {swap("k", big, nil), "old value"},
	} {
		if !errors.Is(c.err, ErrInvalid) || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	for name, err := range map[string]error{
		"longest key":   put(longKey[1:], nil),
		"largest value": put("k", big[1:]),
		"text":          put("ключ", nil),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A command that did not come from a KV keeps the limits, too: what exceeds them could not be restored.
func TestCommandsBeyondTheLimitsAreRefused(t *testing.T) {
	key, value := strings.Repeat("k", MaxKeyBytes), make([]byte, MaxValueBytes+1)
	for name, command := range map[string][]byte{
		"put, key":    kvwire.Put(key+"k", nil),
		"put, value":  kvwire.Put(key, value),
		"swap, value": kvwire.CompareAndSwap(key, nil, value),
	} {
		m := NewMap()
		if r := m.Apply([]actors.Entry{{Command: command}})[0]; !errors.Is(r.Err, errMalformed) || m.Len() != 0 {
			t.Errorf("%s: %v, and %d keys", name, r.Err, m.Len())
		}
	}
}

func TestForeignAnswersAreErrors(t *testing.T) {
	for _, answer := range [][]byte{nil, {1}, {1, 0x80}, bytes.Repeat([]byte{0xff}, 20)} {
		if _, _, err := kvwire.DecodeResult(answer); err == nil {
			t.Errorf("result %x", answer)
		}
		if _, err := kvwire.DecodeGetAnswer(answer); err == nil {
			t.Errorf("answer %x", answer)
		}
	}
	for _, query := range [][]byte{nil, {kvwire.QueryGet}, {9, 'k'}, {kvwire.QueryGetShort, 1}, {kvwire.QueryGetShort, 0x80}} {
		if _, err := NewMap().Query(t.Context(), query); err == nil {
			t.Errorf("query %x", query)
		}
	}
}

// What is longer than asked for answers with its size.
func TestLongValuesAreNotCopiedUnasked(t *testing.T) {
	m := NewMap()
	m.Apply([]actors.Entry{{Index: 1, Command: kvwire.Put("k", []byte("value"))}})
	for limit, want := range map[int]kvwire.GetAnswer{
		4: {Long: 5},
		5: {Value: []byte("value"), Version: 1, Found: true},
	} {
		b, err := m.Query(t.Context(), kvwire.GetShort("k", limit))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := kvwire.DecodeGetAnswer(b); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("up to %d: %+v %v", limit, got, err)
		}
	}
}

// model is the map as its documentation tells it.
type model struct {
	values   map[string]string
	versions map[string]uint64
	floor    uint64
}

func (m *model) put(key, value string) uint64 {
	if _, found := m.values[key]; !found {
		m.versions[key] = m.floor
	}
	m.values[key] = value
	m.versions[key]++
	return m.versions[key]
}

func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		group := &local{m: NewMap()}
		k := Open(group)
		m := &model{values: map[string]string{}, versions: map[string]uint64{}}
		highest := map[string]uint64{} // ever seen of a key
		key := rapid.SampledFrom([]string{"a", "b", "c", "dd"})
		value := rapid.SampledFrom([]string{"", "1", "2", strings.Repeat("long", 400)})
		rises := func(key string, version uint64) {
			if version <= highest[key] {
				t.Fatalf("the version of %s went from %d to %d", key, highest[key], version)
			}
			highest[key] = version
		}
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			key, value := key.Draw(t, "key"), value.Draw(t, "value")
			present, found := m.values[key]
			switch rapid.SampledFrom([]string{"put", "get", "delete", "swap", "create"}).Draw(t, "operation") {
			case "put":
				v, err := k.Put(ctx, key, []byte(value))
				if want := m.put(key, value); err != nil || v != want {
					t.Fatalf("put: version %d, %v; want %d", v, err, want)
				}
				rises(key, v)
			case "get":
				got, v, ok, err := k.Get(ctx, key)
				if err != nil || ok != found || string(got) != present || ok && v != m.versions[key] {
					t.Fatalf("get: %q %d %v %v; want %q %d %v", got, v, ok, err, present, m.versions[key], found)
				}
			case "delete":
				ok, err := k.Delete(ctx, key)
				if err != nil || ok != found {
					t.Fatalf("delete: %v %v; want %v", ok, err, found)
				}
				if found {
					m.floor = max(m.floor, m.versions[key])
					delete(m.values, key)
				}
			case "swap", "create":
				old := []byte(rapid.SampledFrom([]string{"", "1", "2", strings.Repeat("long", 400)}).Draw(t, "old"))
				if rapid.Bool().Draw(t, "absent") {
					old = nil
				}
				matches := old == nil && !found || old != nil && found && string(old) == present
				ok, v, err := k.CompareAndSwap(ctx, key, old, []byte(value))
				want := uint64(0)
				if matches {
					want = m.put(key, value)
					rises(key, v)
				} else if found {
					want = m.versions[key]
				}
				if err != nil || ok != matches || v != want {
					t.Fatalf("swap: %v %d %v; want %v %d", ok, v, err, matches, want)
				}
			}
		}
		if group.m.Len() != len(m.values) {
			t.Fatalf("%d keys, want %d", group.m.Len(), len(m.values))
		}
	})
}

func TestCommandsSurviveTheirEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 20, 100).Draw(t, "key")
		value := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		old := rapid.SliceOf(rapid.Byte()).Draw(t, "old")
		if c, err := decode(kvwire.Put(key, value)); err != nil ||
			c.op != kvwire.OpPut || string(c.key) != key || !bytes.Equal(c.value, value) {
			t.Fatal(c, err)
		}
		if c, err := decode(kvwire.Delete(key)); err != nil || c.op != kvwire.OpDelete || string(c.key) != key {
			t.Fatal(c, err)
		}
		if c, err := decode(kvwire.CompareAndSwap(key, old, value)); err != nil || c.op != kvwire.OpCompareAndSwap ||
			c.expect != kvwire.ExpectValue ||
			!bytes.Equal(c.old, old) || string(c.key) != key || !bytes.Equal(c.value, value) {
			t.Fatal(c, err)
		}
		if c, err := decode(kvwire.CompareAndSwap(key, nil, value)); err != nil ||
			c.expect != kvwire.ExpectAbsent || !bytes.Equal(c.value, value) {
			t.Fatal(c, err)
		}
	})
}

// FuzzApply: whatever is proposed, nothing panics, and two maps agree.
func FuzzApply(f *testing.F) {
	f.Add(kvwire.Put("k", []byte("v")))
	f.Add(kvwire.Delete("k"))
	f.Add(kvwire.CompareAndSwap("k", []byte("v"), []byte("w")))
	f.Add(kvwire.CompareAndSwap("k", nil, []byte("w")))
	f.Add(kvwire.CompareAndSwap("k", make([]byte, 2000), []byte("w")))
	f.Add([]byte{kvwire.OpPut, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{kvwire.OpCompareAndSwap, 1, 'k', kvwire.ExpectDigest, 1, 2})
	f.Fuzz(func(t *testing.T, command []byte) {
		a, b := NewMap(), NewMap()
		before := bytes.Clone(command)
		ra := a.Apply([]actors.Entry{{Index: 1, Command: command}, {Index: 2, Command: kvwire.Put("x", nil)}, {Index: 3, Command: command}})
		rb := slices.Clone(b.Apply([]actors.Entry{{Index: 1, Command: command}}))
		rb = append(rb, b.Apply([]actors.Entry{{Index: 2, Command: kvwire.Put("x", nil)}, {Index: 3, Command: command}})...)
		if !bytes.Equal(before, command) {
			t.Fatal("the command was changed")
		}
		if fmt.Sprint(ra) != fmt.Sprint(rb) || a.Hash() != b.Hash() {
			t.Fatalf("%v, %v", ra, rb)
		}
		if _, err := a.Query(t.Context(), command); err != nil && len(command) > 1 && command[0] == kvwire.QueryGet {
			t.Fatal(err)
		}
	})
}

// A value's array belongs to the map alone: neither the command nor an answer shares it. It does not stay large under small values.
func TestValuesShareNoMemory(t *testing.T) {
	m := NewMap()
	put := func(value []byte) { m.Apply([]actors.Entry{{Index: 1, Command: kvwire.Put("k", value)}}) }
	get := func() []byte {
		answer, err := m.Query(t.Context(), append([]byte{kvwire.QueryGet}, "k"...))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	command := kvwire.Put("k", []byte("first"))
	m.Apply([]actors.Entry{{Index: 1, Command: command}})
	clear(command)
	first := get()
	put([]byte("other"))
	if !bytes.HasSuffix(first, []byte("first")) || !bytes.HasSuffix(get(), []byte("other")) {
		t.Errorf("%q and %q, not first and other", first, get())
	}
	put(make([]byte, 1<<20))
	put([]byte("small"))
	if kept := cap(m.items.base["k"].value); kept > 1<<10 {
		t.Errorf("a value of 5 bytes has an array of %d", kept)
	}
}

func TestHashTellsStatesApart(t *testing.T) {
	seen := map[[32]byte]int{}
	m := NewMap()
	for i, command := range [][]byte{
		nil, kvwire.Put("a", []byte("b")), kvwire.Put("a", []byte("b")), kvwire.Put("ab", nil), kvwire.Delete("ab"), kvwire.Delete("a"),
		kvwire.Put("a", []byte("b")),
	} {
		if command != nil {
			m.Apply([]actors.Entry{{Index: uint64(i), Command: command}})
		}
		if before, again := seen[m.Hash()]; again && command != nil && i != 4 {
			t.Fatalf("state %d hashes like state %d", i, before)
		}
		seen[m.Hash()] = i
	}
}

func BenchmarkApply(b *testing.B) {
	value := make([]byte, 128)
	const batch, keys = 1000, 100_000
	for _, kind := range []string{"overwrite", "create"} {
		b.Run(kind, func(b *testing.B) {
			batches := make([][]actors.Entry, keys/batch)
			for i := range batches {
				for j := range batch {
					batches[i] = append(batches[i], actors.Entry{Command: kvwire.Put(fmt.Sprintf("key-%d", (i*batch+j)*7919%keys), value)})
				}
			}
			m := NewMap()
			if kind == "overwrite" {
				for _, entries := range batches {
					m.Apply(entries)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if kind == "create" && i%len(batches) == 0 {
					b.StopTimer()
					m = NewMap()
					b.StartTimer()
				}
				m.Apply(batches[i%len(batches)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/command")
		})
	}
}
