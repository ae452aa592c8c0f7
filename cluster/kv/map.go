package kv

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/troupe-raft/troupe/actors"
)

// Map is the replicated map's state machine: give every node's group a [NewMap]. Its group calls it; it must not be used
// otherwise while the group runs.
//
// Every key has a version. It rises by one with each write to the key and never goes back, not even over a deletion: a new
// key starts one above the highest version that any deleted key ever had, so at 1 as long as nothing was deleted. An equal
// version of one key therefore always means an equal value.
type Map struct {
	items map[string]*item
	// floor is the highest version of any deleted key.
	floor uint64
	// results is what the last Apply returned; the next one reuses it.
	results []actors.Result
}

const keptResults = 4096

// item owns its value's array, which the next value of the key takes over if it fits. Nothing else refers to it.
type item struct {
	value   []byte
	version uint64
}

var _ actors.StateMachine = (*Map)(nil)

// NewMap is an empty map.
func NewMap() *Map { return &Map{items: make(map[string]*item)} }

// Apply applies commands. Every node rejects a command that is not of this package's encoding.
func (m *Map) Apply(entries []actors.Entry) []actors.Result {
	clear(m.results)
	results := slices.Grow(m.results[:0], len(entries))[:len(entries)]
	m.results = nil
	if cap(results) <= keptResults {
		m.results = results
	}
	values := make([]byte, 0, len(entries)*maxResultBytes)
	for i := range entries {
		c, err := decode(entries[i].Command)
		if err != nil {
			results[i].Err = err
			continue
		}
		start := len(values)
		done, version := m.apply(&c)
		values = appendResult(values, done, version)
		results[i].Value = values[start:len(values):len(values)]
	}
	return results
}

func (m *Map) apply(c *command) (done bool, version uint64) {
	present := m.items[string(c.key)]
	switch c.op {
	case opPut:
		return true, m.write(present, c)
	case opDelete:
		if present == nil {
			return false, 0
		}
		m.floor = max(m.floor, present.version)
		delete(m.items, string(c.key))
		return true, present.version
	}
	if present == nil {
		if !c.matches(nil, false) {
			return false, 0
		}
	} else if !c.matches(present.value, true) {
		return false, present.version
	}
	return true, m.write(present, c)
}

func (m *Map) write(present *item, c *command) (version uint64) {
	if present == nil {
		present = &item{version: m.floor}
		m.items[string(c.key)] = present
	}
	if size := len(c.value); size > cap(present.value) || 2*size < cap(present.value) {
		present.value = make([]byte, 0, size)
	}
	present.value = append(present.value[:0], c.value...)
	present.version++
	return present.version
}

// Query answers a get.
func (m *Map) Query(_ context.Context, query []byte) ([]byte, error) {
	key, limit, ok := decodeGet(query)
	if !ok {
		return nil, errors.New("the bytes are not a query of the replicated map")
	}
	present := m.items[string(key)]
	if present == nil {
		return []byte{answerAbsent, 0}, nil
	}
	size := len(present.value)
	if uint64(size) > limit {
		return binary.AppendUvarint([]byte{answerLong}, uint64(size)), nil
	}
	answer := append(make([]byte, 0, maxResultBytes+size), answerValue)
	return append(binary.AppendUvarint(answer, present.version), present.value...), nil
}

// Snapshot copies the map.
func (m *Map) Snapshot() (actors.View, error) {
	state := binary.AppendUvarint(nil, m.floor)
	for key, it := range m.items {
		state = binary.AppendUvarint(appendBytes(appendBytes(state, []byte(key)), it.value), it.version)
	}
	return actors.ViewOf(state), nil
}

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// Restore reads what a view wrote.
func (m *Map) Restore(r io.Reader) error { return errors.New("the map cannot be restored yet") }

// Len is the number of keys.
func (m *Map) Len() int { return len(m.items) }

// Hash is a digest of the whole state: equal on any two nodes that applied the same commands. It takes time and memory in
// proportion to the number of keys.
func (m *Map) Hash() [sha256.Size]byte {
	h := sha256.New()
	var b []byte
	b = binary.AppendUvarint(b, m.floor)
	for _, key := range slices.Sorted(maps.Keys(m.items)) {
		it := m.items[key]
		b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
		b = binary.AppendUvarint(b, it.version)
		b = append(binary.AppendUvarint(b, uint64(len(it.value))), it.value...)
		h.Write(b)
		b = b[:0]
	}
	h.Write(b)
	return [sha256.Size]byte(h.Sum(nil))
}
