package kv

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// Map is the replicated map's state machine: give every node's group a [NewMap]. Its group calls it; it must not be used
// otherwise while the group runs.
//
// Every key has a version. It rises by one with each write to the key and never goes back, not even over a deletion: a new
// key starts one above the highest version that any deleted key ever had, so at 1 as long as nothing was deleted. An equal
// version of one key therefore always means an equal value.
type Map struct {
	items *layers
	// floor is the highest version of any deleted key.
	floor uint64
	// results is what the last Apply returned; the next one reuses it.
	results []actors.Result
}

const keptResults = 4096

// mergedPerCommand is above one, so that changes are merged faster than they can come.
const mergedPerCommand = 2

// item owns its value's array, which the next value of the key takes over if it fits. Only a view refers to it, too: what a view
// sees is never overwritten.
type item struct {
	value   []byte
	version uint64
}

var (
	_ actors.StateMachine = (*Map)(nil)
	_ actors.Named        = (*Map)(nil)
	_ actors.Concurrent   = (*Map)(nil)
)

// NewMap is an empty map.
func NewMap() *Map { return &Map{items: newLayers(make(map[string]*item))} }

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
	m.items.merge(leastMerged + mergedPerCommand*len(entries))
	return results
}

func (m *Map) apply(c *command) (done bool, version uint64) {
	present, owned := m.items.get(c.key)
	switch c.op {
	case kvwire.OpPut:
		return true, m.write(present, owned, c)
	case kvwire.OpDelete:
		if present == nil {
			return false, 0
		}
		m.floor = max(m.floor, present.version)
		m.items.remove(c.key)
		return true, present.version
	}
	if present == nil {
		if !c.matches(nil, false) {
			return false, 0
		}
	} else if !c.matches(present.value, true) {
		return false, present.version
	}
	return true, m.write(present, owned, c)
}

func (m *Map) write(present *item, owned bool, c *command) (version uint64) {
	switch {
	case present == nil:
		present = &item{version: m.floor}
		m.items.add(c.key, present)
	case !owned:
		present = &item{version: present.version}
		m.items.replace(c.key, present)
	}
	if size := len(c.value); size > cap(present.value) || 2*size < cap(present.value) {
		present.value = make([]byte, 0, size)
	}
	present.value = append(present.value[:0], c.value...)
	present.version++
	return present.version
}

// ConcurrentQuery says that many may ask at a time.
func (m *Map) ConcurrentQuery() bool { return true }

// Query answers a get.
func (m *Map) Query(_ context.Context, query []byte) ([]byte, error) {
	key, limit, ok := decodeGet(query)
	if !ok {
		return nil, errors.New("the bytes are not a query of the replicated map")
	}
	present, _ := m.items.get(key)
	if present == nil {
		return []byte{kvwire.AnswerAbsent, 0}, nil
	}
	size := len(present.value)
	if uint64(size) > limit {
		return binary.AppendUvarint([]byte{kvwire.AnswerLong}, uint64(size)), nil
	}
	answer := append(make([]byte, 0, maxResultBytes+size), kvwire.AnswerValue)
	return append(binary.AppendUvarint(answer, present.version), present.value...), nil
}

// Len is the number of keys.
func (m *Map) Len() int { return m.items.count }

// Hash is a digest of the whole state: equal on any two nodes that applied the same commands. It takes time and memory in
// proportion to the number of keys.
func (m *Map) Hash() [sha256.Size]byte {
	h := sha256.New()
	var b []byte
	b = binary.AppendUvarint(b, m.floor)
	type keyed struct {
		key string
		*item
	}
	sorted := make([]keyed, 0, m.Len())
	for key, it := range m.items.all() {
		sorted = append(sorted, keyed{key, it})
	}
	slices.SortFunc(sorted, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	for _, it := range sorted {
		b = append(binary.AppendUvarint(b, uint64(len(it.key))), it.key...)
		b = binary.AppendUvarint(b, it.version)
		b = append(binary.AppendUvarint(b, uint64(len(it.value))), it.value...)
		h.Write(b)
		b = b[:0]
	}
	h.Write(b)
	return [sha256.Size]byte(h.Sum(nil))
}
