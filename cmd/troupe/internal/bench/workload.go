package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/kv"
)

// Workload is what clients do to the map.
type Workload struct {
	Op        Operation
	ValueSize int // bytes
}

// Operation is the name of what a client does again and again.
type Operation string

// The operations. Mixed is nine reads for each write; Lease is a read by the leader's lease.
const (
	Put   Operation = "put"
	Get   Operation = "get"
	Mixed Operation = "mixed"
	Lease Operation = "lease"
)

// Check says what is wrong.
func (w Workload) Check() error {
	switch {
	case operations[w.Op] == nil:
		return fmt.Errorf("--op %q is not one of put, get, mixed, lease, idle", w.Op)
	case w.ValueSize < 0:
		return errors.New("--value-size must not be negative")
	case w.ValueSize > kv.MaxValueBytes:
		return fmt.Errorf("--value-size must be at most %d, which is the map's largest value", kv.MaxValueBytes)
	}
	return nil
}

// keyCount is how many keys every workload chooses from, evenly.
const keyCount = 4096

// names has the keys ready, 8 bytes each: making one is no part of what is measured.
var names = func() (keys [keyCount]string) {
	for i := range keys {
		keys[i] = fmt.Sprintf("%08d", i)
	}
	return keys
}()

// keysOf is how many keys each group has: fewer when there are many groups, so that the first writes do not take minutes.
func keysOf(groups int) int { return max(keyCount/groups, 4) }

// call is what an operation is given: a map, how many of its keys exist, and a value to write.
type call struct {
	target target
	keys   uint64
	random *rand.Rand
	value  []byte
}

var operations = map[Operation]func(context.Context, call) error{Put: put, Get: get, Mixed: mixed, Lease: lease}

func put(ctx context.Context, c call) error {
	return c.target.put(ctx, names[c.random.Uint64N(c.keys)], c.value)
}

func get(ctx context.Context, c call) error {
	return c.target.get(ctx, actors.Linearizable, names[c.random.Uint64N(c.keys)])
}

func lease(ctx context.Context, c call) error {
	return c.target.get(ctx, actors.Lease, names[c.random.Uint64N(c.keys)])
}

func mixed(ctx context.Context, c call) error {
	if c.random.Uint64N(10) < 9 {
		return get(ctx, c)
	}
	return put(ctx, c)
}

// caller makes the function that does one operation on the map of a group, with a key that its random chooses. The value is the
// same each time, and drawn now.
func (w Workload) caller(groups int, random *rand.Rand) func(ctx context.Context, to target, random *rand.Rand) error {
	do, keys, value := operations[w.Op], uint64(keysOf(groups)), randomValue(random, w.ValueSize)
	return func(ctx context.Context, to target, random *rand.Rand) error {
		return do(ctx, call{target: to, keys: keys, random: random, value: value})
	}
}

func randomValue(random *rand.Rand, size int) []byte {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	return value
}

// preload writes every key of every group once, so that reads find something.
func preload(ctx context.Context, s *system) error {
	const writers, limit = 64, 60 * time.Second
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	keys := keysOf(len(s.targets))
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < keys*len(s.targets) && errs[w] == nil; i += writers {
				errs[w] = preloadKey(limited, s.targets[i%len(s.targets)], names[i/len(s.targets)])
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err() // what became of these writes is of no matter
	}
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("cannot write the keys: %w", err)
		}
	}
	return nil
}

// preloadKey tries again until ctx is done: a cluster may have no leader yet.
func preloadKey(ctx context.Context, to target, key string) error {
	for {
		err := to.put(ctx, key, make([]byte, 128))
		if err == nil || ctx.Err() != nil || errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrInvalid) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
