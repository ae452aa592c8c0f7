// Package kv is a replicated map: the [Map] state machine that a group replicates, and [KV], its operations over a running
// group. [Mount] serves it to clients of a node's client port. The map's snapshots freeze it without copying; [Inspect] tells what is
// in one.
package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// Limits of keys and values, in bytes.
const (
	MaxKeyBytes   = kvwire.MaxKeyBytes
	MaxValueBytes = kvwire.MaxValueBytes
)

// ErrInvalid matches every refusal of a key or value; the text says what is wrong with it.
var ErrInvalid = errors.New("invalid request")

// Group is what a KV needs of a group; *cluster.Group is one.
type Group interface {
	Propose(ctx context.Context, command []byte, options ...cluster.ProposeOption) (cluster.Result, error)
	Query(ctx context.Context, options cluster.ReadOptions, query []byte) (cluster.Result, error)
}

// KV is the operations of the map that a group replicates. It is safe for concurrent use. Beside [ErrInvalid], errors are
// those of [cluster.Group].
type KV struct {
	group   Group
	options []cluster.ProposeOption
}

// Open returns the operations of the map that the group replicates: its state machine must be a [Map]. The options are those of all
// writes.
func Open(group Group, options ...cluster.ProposeOption) *KV { return &KV{group, options} }

// Put writes a value, and returns the key's version after the write.
func (k *KV) Put(ctx context.Context, key string, value []byte) (version uint64, err error) {
	if err := checkKeyAndValue(key, value); err != nil {
		return 0, err
	}
	_, version, err = k.propose(ctx, kvwire.Put(key, value))
	return version, err
}

// Get reads a key, linearizably. The value belongs to the caller.
func (k *KV) Get(ctx context.Context, key string) (value []byte, version uint64, found bool, err error) {
	return k.GetAs(ctx, cluster.ReadOptions{}, key)
}

// GetAs is Get with another consistency.
func (k *KV) GetAs(
	ctx context.Context, how cluster.ReadOptions, key string,
) (value []byte, version uint64, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, false, err
	}
	answer, err := k.get(ctx, how, kvwire.Get(key))
	return answer.Value, answer.Version, answer.Found, err
}

func (k *KV) get(ctx context.Context, how cluster.ReadOptions, query []byte) (kvwire.GetAnswer, error) {
	r, err := k.group.Query(ctx, how, query)
	if err != nil {
		return kvwire.GetAnswer{}, err
	}
	return kvwire.DecodeGetAnswer(r.Value)
}

// Delete removes a key; deleted is false when there was none.
func (k *KV) Delete(ctx context.Context, key string) (deleted bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	deleted, _, err = k.propose(ctx, kvwire.Delete(key))
	return deleted, err
}

// CompareAndSwap writes value if the key's present value equals old; a nil old expects that the key does not exist, an empty
// one that its value is empty. version is the one after the swap, or the present one when not swapped (0: no such key).
func (k *KV) CompareAndSwap(ctx context.Context, key string, old, value []byte) (swapped bool, version uint64, err error) {
	if err := checkSwap(key, old, value); err != nil {
		return false, 0, err
	}
	return k.propose(ctx, kvwire.CompareAndSwap(key, old, value))
}

func (k *KV) propose(ctx context.Context, command []byte) (done bool, version uint64, err error) {
	result, err := k.group.Propose(ctx, command, k.options...)
	if err != nil {
		return false, 0, err
	}
	return kvwire.DecodeResult(result.Value)
}

func checkKey(key string) error { return checkKeyAndValue(key, nil) }

func checkKeyAndValue(key string, value []byte) error {
	if err := kvwire.Check(key, value); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func checkSwap(key string, old, value []byte) error {
	if len(old) > MaxValueBytes {
		return fmt.Errorf("%w: the old value has %d bytes; no value has more than %d", ErrInvalid, len(old), MaxValueBytes)
	}
	return checkKeyAndValue(key, value)
}
