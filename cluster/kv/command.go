package kv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
)

// A command is an operation byte and its operands: a length-prefixed key, then
//
//	put:               the value, to the end
//	delete:            nothing
//	compare-and-swap:  the expectation byte, its operand, the new value to the end
//
// The encoding is part of the replicated log: it may grow new operations, the old ones never change.
const (
	opPut            = 1
	opDelete         = 2
	opCompareAndSwap = 3
)

// What compare-and-swap expects of the present value.
const (
	expectAbsent = 0
	// expectValue: a length-prefixed value.
	expectValue = 1
	// expectDigest: the SHA-256 of a value too long to be worth a place in the log; two values of full length in one
	// command would also exceed the default limit of an entry.
	expectDigest = 2
)

// digestAbove is the length above which an expected value travels as its digest.
const digestAbove = 1024

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

func encodePut(key string, value []byte) []byte {
	b := appendKey(make([]byte, 0, keySize(key)+len(value)), opPut, key)
	return append(b, value...)
}

func encodeDelete(key string) []byte {
	return appendKey(make([]byte, 0, keySize(key)), opDelete, key)
}

// encodeCompareAndSwap: a nil old expects the key to be absent.
func encodeCompareAndSwap(key string, old, value []byte) []byte {
	expect := byte(expectValue)
	switch {
	case old == nil:
		expect = expectAbsent
	case len(old) > digestAbove:
		digest := sha256.Sum256(old)
		expect, old = expectDigest, digest[:]
	}
	b := appendKey(make([]byte, 0, keySize(key)+1+binary.MaxVarintLen64+len(old)+len(value)), opCompareAndSwap, key)
	b = append(b, expect)
	switch expect {
	case expectValue:
		b = append(binary.AppendUvarint(b, uint64(len(old))), old...)
	case expectDigest:
		b = append(b, old...)
	}
	return append(b, value...)
}

func keySize(key string) int { return 1 + binary.MaxVarintLen32 + len(key) }

func appendKey(b []byte, op byte, key string) []byte {
	b = append(b, op)
	b = binary.AppendUvarint(b, uint64(len(key)))
	return append(b, key...)
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
	case opPut:
		if c.value = b; len(b) <= MaxValueBytes {
			return c, nil
		}
	case opDelete:
		if len(b) == 0 {
			return c, nil
		}
	case opCompareAndSwap:
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
	case expectAbsent:
		return expect, nil, b, true
	case expectValue:
		old, b, ok = cutPrefixed(b)
		return expect, old, b, ok
	case expectDigest:
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
	case c.expect == expectAbsent:
		return !found
	case !found:
		return false
	case c.expect == expectValue:
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

func decodeResult(b []byte) (done bool, version uint64, err error) {
	if len(b) < 2 {
		return false, 0, errForeignAnswer
	}
	version, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return false, 0, errForeignAnswer
	}
	return b[0] == 1, version, nil
}

// A query is the operation byte and a key, to the end. A query with a limit has the limit, in bytes, before the key. Its answer is a
// flag and a number: 0 and 0; 1, the version, and the value to the end; or 2 and the size of a value that is longer than the limit.
const (
	queryGet      = 1
	queryGetShort = 2
)

const (
	answerAbsent = 0
	answerValue  = 1
	answerLong   = 2
)

func encodeGet(key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), queryGet), key...)
}

func encodeGetShort(key string, limit int) []byte {
	b := append(make([]byte, 0, 1+binary.MaxVarintLen64+len(key)), queryGetShort)
	return append(binary.AppendUvarint(b, uint64(limit)), key...)
}

// decodeGet returns the key that a query asks for, and how long its value may be.
func decodeGet(query []byte) (key []byte, limit uint64, ok bool) {
	if len(query) < 2 {
		return nil, 0, false
	}
	switch query[0] {
	case queryGet:
		return query[1:], math.MaxUint64, true
	case queryGetShort:
		limit, n := binary.Uvarint(query[1:])
		if n > 0 && len(query) > 1+n {
			return query[1+n:], limit, true
		}
	}
	return nil, 0, false
}

// getAnswer is the answer to a get: a value, no value, or the size of a value that is longer than asked for.
type getAnswer struct {
	value   []byte
	version uint64
	found   bool
	long    int
}

func decodeGetAnswer(b []byte) (getAnswer, error) {
	if len(b) < 2 {
		return getAnswer{}, errForeignAnswer
	}
	number, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return getAnswer{}, errForeignAnswer
	}
	switch b[0] {
	case answerAbsent:
		return getAnswer{}, nil
	case answerValue:
		return getAnswer{value: b[1+n:], version: number, found: true}, nil
	case answerLong:
		return getAnswer{long: int(number)}, nil
	}
	return getAnswer{}, errForeignAnswer
}

var errForeignAnswer = errors.New("the group's state machine is not a kv.Map: open the group that replicates one")
