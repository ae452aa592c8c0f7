package client

import (
	"context"

	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
)

// The built-in map is the state machine of the first group that the nodes started.
const mapGroup = ""

// Put sets key to value and returns the key's version. Each write to a key adds one; a new key starts one above the highest version
// that any deleted key had, so at 1 while nothing was deleted.
func (c *Client) Put(ctx context.Context, key string, value []byte) (version uint64, err error) {
	if err := kvwire.Check(key, value); err != nil {
		return 0, invalid(err)
	}
	_, version, err = c.write(ctx, kvwire.Put(key, value))
	return version, err
}

// Get returns the value of key. The read is linearizable: it sees every write that was acknowledged before the call.
func (c *Client) Get(ctx context.Context, key string) (value []byte, version uint64, found bool, err error) {
	return c.GetAs(ctx, Read{}, key)
}

// GetAs is Get with another consistency.
func (c *Client) GetAs(ctx context.Context, how Read, key string) (value []byte, version uint64, found bool, err error) {
	if err := kvwire.Check(key); err != nil {
		return nil, 0, false, invalid(err)
	}
	r, err := c.Query(ctx, mapGroup, how, kvwire.Get(key))
	if err != nil {
		return nil, 0, false, err
	}
	a, err := kvwire.DecodeGetAnswer(r.Value)
	if err != nil {
		return nil, 0, false, invalid(err)
	}
	return a.Value, a.Version, a.Found, nil
}

// Delete removes key and says whether it was there.
func (c *Client) Delete(ctx context.Context, key string) (deleted bool, err error) {
	if err := kvwire.Check(key); err != nil {
		return false, invalid(err)
	}
	deleted, _, err = c.write(ctx, kvwire.Delete(key))
	return deleted, err
}

// CompareAndSwap sets key to new if its value is old; a nil old asks that there be no such key, an empty one that its value be
// empty. The version is the new one after a swap, and otherwise the present one, 0 when there is no such key.
func (c *Client) CompareAndSwap(ctx context.Context, key string, old, new []byte) (swapped bool, version uint64, err error) {
	if err := kvwire.Check(key, old, new); err != nil {
		return false, 0, invalid(err)
	}
	return c.write(ctx, kvwire.CompareAndSwap(key, old, new))
}

func (c *Client) write(ctx context.Context, command []byte) (done bool, version uint64, err error) {
	r, err := c.Submit(ctx, mapGroup, command)
	if err != nil {
		return false, 0, err
	}
	done, version, err = kvwire.DecodeResult(r.Value)
	if err != nil {
		return false, 0, &callError{text: "the write took effect, but " + err.Error(), kind: ErrAnswerNotKept, cause: err}
	}
	return done, version, nil
}
