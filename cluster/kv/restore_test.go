package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
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
