package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// encoded is a state with these numbers and strings.
func encoded(fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(f))
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
		}
	}
	return b
}

func TestMalformedStatesAreRefused(t *testing.T) {
	good := encoded(1, 2, 7, "a", 1, "x", "b", 3, "")
	keys, size, _, err := Inspect(bytes.NewReader(good))
	if err != nil || keys != 2 || size != 3 {
		t.Fatal(keys, size, err)
	}
	for name, c := range map[string]struct {
		state []byte
		says  string
	}{
		"unknown version":   {encoded(2, 0, 0), "version 2, and this build reads version 1"},
		"more items":        {append(bytes.Clone(good), 1), "more bytes follow"},
		"fewer items":       {encoded(1, 3, 7, "a", 1, "x", "b", 3, ""), "ends too early"},
		"the largest count": {encoded(1, 1<<62, 7, "a", 1, "x"), "ends too early"},
		"duplicate key":     {encoded(1, 2, 7, "a", 1, "x", "a", 1, "x"), "its key came before"},
		"no key":            {encoded(1, 1, 7, "", 1, "x"), "the key has 0 bytes"},
		"long key":          {encoded(1, 1, 7, strings.Repeat("k", MaxKeyBytes+1), 1, "x"), "the key has 4097 bytes"},
		"long value":        {encoded(1, 1, 7, "a", 1, strings.Repeat("k", MaxValueBytes+1)), "the value has 1048577 bytes"},
		"version 0":         {encoded(1, 1, 7, "a", 0, "x"), "version is 0"},
		"long number":       {bytes.Repeat([]byte{0xff}, 20), "too many digits"},
	} {
		m := NewMap()
		if err := m.Restore(bytes.NewReader(c.state)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size := range good {
		if err := NewMap().Restore(bytes.NewReader(good[:size])); err == nil || !strings.Contains(err.Error(), "ends too early") {
			t.Errorf("the first %d bytes: %v", size, err)
		}
	}
	failing := errors.New("the disk is on fire")
	reader := io.MultiReader(bytes.NewReader(good), readerFunc(func([]byte) (int, error) { return 0, failing }))
	if err := NewMap().Restore(reader); !errors.Is(err, failing) {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// manyBlocks is a map of more small items than a block has, and of some values that are longer than one.
func manyBlocks() *Map {
	m, _ := filled(3 * blockItems)
	for i := range 5 {
		m.Apply([]actors.Entry{{Command: kvwire.Put(fmt.Sprint("large", i), bytes.Repeat([]byte{byte(i)}, MaxValueBytes-i))}})
	}
	for i := range 3 * blockItems {
		m.Apply([]actors.Entry{{Command: kvwire.Put(fmt.Sprint("empty", i), nil)}})
	}
	return m
}

func TestManyBlocksAreRestored(t *testing.T) {
	m := manyBlocks()
	var state bytes.Buffer
	if _, err := frozen(t, m).WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	reads := iotest.HalfReader(&state)
	if keys, _, hash, err := Inspect(reads); err != nil || keys != m.Len() || hash != m.Hash() {
		t.Error(keys, err)
	}
}

// A state of which it is known that it is large gets its memory first, also when the map had another one before.
func TestALargeStateIsRestored(t *testing.T) {
	const keys = largeState >> 20
	m := NewMap()
	value := make([]byte, 1<<20)
	for i := range keys {
		value[0] = byte(i)
		m.Apply([]actors.Entry{{Command: kvwire.Put(fmt.Sprintf("%03d", i), value)}})
	}
	var state bytes.Buffer
	if _, err := frozen(t, m).WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	want := m.Hash()
	for range 2 {
		if err := m.Restore(bytes.NewReader(state.Bytes())); err != nil { // it knows its size
			t.Fatal(err)
		}
		if m.Len() != keys || m.Hash() != want {
			t.Errorf("%d keys, and the hash %x", m.Len(), m.Hash())
		}
	}
}

// The first item that is damaged is the one that is named, wherever the others are.
func TestTheFirstDamagedItemIsNamed(t *testing.T) {
	const count = 8 * blockItems
	for _, c := range []struct {
		duplicate, unversioned int
		says                   string
	}{
		{2, count, "item 2 of"},
		{5000, 5001, "item 5000 of"},
		{5000, 20_000, "item 5000 of"},
		{20_000, 5000, "item 5000 of"},
		{count, blockItems + 1, fmt.Sprintf("item %d of", blockItems+1)},
		{count, blockItems, fmt.Sprintf("item %d of", blockItems)},
	} {
		state := encoded(1, count, 7)
		for n := 1; n <= count; n++ {
			key, version := fmt.Sprint("key", n), 1
			if n == c.duplicate {
				key = "key1"
			}
			if n == c.unversioned {
				version = 0
			}
			state = append(state, encoded(key, version, "value")...)
		}
		if err := NewMap().Restore(bytes.NewReader(state)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("duplicate %d, without version %d: %v", c.duplicate, c.unversioned, err)
		}
	}
}

// A state that goes on for ever is given up soon after its first damaged item, and then nothing reads it any more.
func TestNothingReadsAfterRestore(t *testing.T) {
	again := encoded("key", 1, strings.Repeat("v", MaxValueBytes))
	begin, bytesRead := encoded(1, 1<<62, 7), 0
	var returned atomic.Bool
	endless := readerFunc(func(b []byte) (int, error) {
		if returned.Load() {
			t.Error("read after Restore returned")
		}
		if len(begin) == 0 {
			begin = again
		}
		n := copy(b, begin)
		begin = begin[n:]
		bytesRead += n
		return n, nil
	})
	err := NewMap().Restore(endless)
	returned.Store(true)
	if err == nil || !strings.Contains(err.Error(), "item 2 of") || !strings.Contains(err.Error(), "its key came before") {
		t.Error(err)
	}
	if most := 10 * runtime.GOMAXPROCS(0) * len(again); bytesRead > most {
		t.Errorf("%d bytes were read, more than %d", bytesRead, most)
	}
}

// FuzzRestore: whatever arrives, nothing panics, and what was restored is what a view of it restores.
func FuzzRestore(f *testing.F) {
	f.Add(encoded(1, 2, 7, "a", 1, "x", "b", 3, ""))
	f.Add(encoded(1, 1<<62, 7, "a", 1, "x"))
	f.Fuzz(func(t *testing.T, state []byte) {
		m := NewMap()
		if m.Restore(bytes.NewReader(state)) != nil {
			return
		}
		var again bytes.Buffer
		if _, err := frozen(t, m).WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		if _, _, hash, err := Inspect(&again); err != nil || hash != m.Hash() {
			t.Fatal(err)
		}
	})
}
