// Package kvwire is how commands, queries and answers of the replicated map are encoded: for kv, which replicates it, and for clients.
package kvwire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// A command is an operation byte and its operands: a length-prefixed key, then
//
//	put:               the value, to the end
//	delete:            nothing
//	compare-and-swap:  the expectation byte, its operand, the new value to the end
//
// The encoding is part of the replicated log: it may grow new operations, the old ones never change.
const (
	OpPut            = 1
	OpDelete         = 2
	OpCompareAndSwap = 3
)

// What compare-and-swap expects of the present value.
const (
	ExpectAbsent = 0
	// ExpectValue: a length-prefixed value.
	ExpectValue = 1
	// ExpectDigest: the SHA-256 of a value too long to be worth a place in the log; two values of full length in one
	// command would also exceed the default limit of an entry.
	ExpectDigest = 2
)

// DigestAbove is the length above which an expected value travels as its digest.
const DigestAbove = 1024

// Put is the command that writes a value.
func Put(key string, value []byte) []byte {
	b := appendKey(make([]byte, 0, keySize(key)+len(value)), OpPut, key)
	return append(b, value...)
}

// Delete is the command that removes a key.
func Delete(key string) []byte {
	return appendKey(make([]byte, 0, keySize(key)), OpDelete, key)
}

// CompareAndSwap is the command that writes a value if the present one is old; a nil old expects the key to be absent.
func CompareAndSwap(key string, old, value []byte) []byte {
	expect := byte(ExpectValue)
	switch {
	case old == nil:
		expect = ExpectAbsent
	case len(old) > DigestAbove:
		digest := sha256.Sum256(old)
		expect, old = ExpectDigest, digest[:]
	}
	b := appendKey(make([]byte, 0, keySize(key)+1+binary.MaxVarintLen64+len(old)+len(value)), OpCompareAndSwap, key)
	b = append(b, expect)
	switch expect {
	case ExpectValue:
		b = append(binary.AppendUvarint(b, uint64(len(old))), old...)
	case ExpectDigest:
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

// DecodeResult reads what a command is answered: a flag (deleted, swapped; always 1 for a put) and a version.
func DecodeResult(b []byte) (done bool, version uint64, err error) {
	if len(b) < 2 {
		return false, 0, ErrForeignAnswer
	}
	version, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return false, 0, ErrForeignAnswer
	}
	return b[0] == 1, version, nil
}

// A query is the operation byte and a key, to the end. A query with a limit has the limit, in bytes, before the key. Its answer is a
// flag and a number: 0 and 0; 1, the version, and the value to the end; or 2 and the size of a value that is longer than the limit.
const (
	QueryGet      = 1
	QueryGetShort = 2
)

// The flag of an answer.
const (
	AnswerAbsent = 0
	AnswerValue  = 1
	AnswerLong   = 2
)

// Get is the query for a key.
func Get(key string) []byte {
	return append(append(make([]byte, 0, 1+len(key)), QueryGet), key...)
}

// GetShort is the query for a key whose value is not sent if it is longer than limit, in bytes.
func GetShort(key string, limit int) []byte {
	b := append(make([]byte, 0, 1+binary.MaxVarintLen64+len(key)), QueryGetShort)
	return append(binary.AppendUvarint(b, uint64(limit)), key...)
}

// GetAnswer is the answer to a get: a value, no value, or the size of a value that is longer than asked for.
type GetAnswer struct {
	Value   []byte
	Version uint64
	Found   bool
	// Long is the size of a value that was not sent; 0: it was.
	Long int
}

// DecodeGetAnswer reads what a query is answered.
func DecodeGetAnswer(b []byte) (GetAnswer, error) {
	if len(b) < 2 {
		return GetAnswer{}, ErrForeignAnswer
	}
	number, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return GetAnswer{}, ErrForeignAnswer
	}
	switch b[0] {
	case AnswerAbsent:
		return GetAnswer{}, nil
	case AnswerValue:
		return GetAnswer{Value: b[1+n:], Version: number, Found: true}, nil
	case AnswerLong:
		return GetAnswer{Long: int(number)}, nil
	}
	return GetAnswer{}, ErrForeignAnswer
}

// ErrForeignAnswer is of what another state machine answered.
var ErrForeignAnswer = errors.New("the group's state machine is not a kv.Map: open the group that replicates one")
