package kv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"

	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

var errMalformed = errors.New("the bytes are not a command of the replicated map")

// command is a decoded command; its slices point into the encoded bytes.
type command struct {
	op     byte
	expect byte
	key    []byte
	// old is the expected value, or its digest.
	old   []byte
	value []byte
}

// decode reads a command that may be anything at all: applications can propose what they like. What is beyond the limits of keys and
// values is refused, since it could not be restored.
func decode(b []byte) (command, error) {
	if len(b) == 0 {
		return command{}, errMalformed
	}
	c := command{op: b[0]}
	var ok bool
	if c.key, b, ok = cutPrefixed(b[1:]); !ok || len(c.key) == 0 || len(c.key) > MaxKeyBytes {
		return command{}, errMalformed
	}
	switch c.op {
	case kvwire.OpPut:
		if c.value = b; len(b) <= MaxValueBytes {
			return c, nil
		}
	case kvwire.OpDelete:
		if len(b) == 0 {
			return c, nil
		}
	case kvwire.OpCompareAndSwap:
		if c.expect, c.old, c.value, ok = cutExpectation(b); ok && len(c.value) <= MaxValueBytes {
			return c, nil
		}
	}
	return command{}, errMalformed
}

func cutExpectation(b []byte) (expect byte, old, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, nil, false
	}
	expect, b = b[0], b[1:]
	switch expect {
	case kvwire.ExpectAbsent:
		return expect, nil, b, true
	case kvwire.ExpectValue:
		old, b, ok = cutPrefixed(b)
		return expect, old, b, ok
	case kvwire.ExpectDigest:
		if len(b) < sha256.Size {
			return 0, nil, nil, false
		}
		return expect, b[:sha256.Size], b[sha256.Size:], true
	}
	return 0, nil, nil, false
}

func cutPrefixed(b []byte) (field, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}

// matches says whether the present value (found: there is one) is what a compare-and-swap expects.
func (c *command) matches(present []byte, found bool) bool {
	switch {
	case c.expect == kvwire.ExpectAbsent:
		return !found
	case !found:
		return false
	case c.expect == kvwire.ExpectValue:
		return bytes.Equal(present, c.old)
	}
	digest := sha256.Sum256(present)
	return bytes.Equal(digest[:], c.old)
}

// A result is a flag (deleted, swapped; always 1 for a put) and a version.
func appendResult(b []byte, done bool, version uint64) []byte {
	flag := byte(0)
	if done {
		flag = 1
	}
	return binary.AppendUvarint(append(b, flag), version)
}

const maxResultBytes = 1 + binary.MaxVarintLen64

// decodeGet returns the key that a query asks for, and how long its value may be.
func decodeGet(query []byte) (key []byte, limit uint64, ok bool) {
	if len(query) < 2 {
		return nil, 0, false
	}
	switch query[0] {
	case kvwire.QueryGet:
		return query[1:], math.MaxUint64, true
	case kvwire.QueryGetShort:
		limit, n := binary.Uvarint(query[1:])
		if n > 0 && len(query) > 1+n {
			return query[1+n:], limit, true
		}
	}
	return nil, 0, false
}
