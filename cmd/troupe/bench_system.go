package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

// keyCount is how many keys every workload chooses from, evenly.
const keyCount = 4096

// benchKeys has the keys ready, 8 bytes each: making one is no part of what is measured.
var benchKeys = func() (keys [keyCount]string) {
	for i := range keys {
		keys[i] = fmt.Sprintf("%08d", i)
	}
	return keys
}()

// target is one replicated map under measurement.
type target interface {
	put(ctx context.Context, key string, value []byte) error
	get(ctx context.Context, key string) error
	leader(ctx context.Context) string
}

// system is a cluster under measurement.
type system struct {
	targets []target // one for each group
	close   func()

	// The rest is known of clusters in this process only: where the data is, how long the start took, and until all groups had
	// a leader.
	cluster      *host.Local
	dir          string
	started, led time.Duration
}

func (o *benchOptions) open(ctx context.Context, t *terminal) (*system, error) {
	if o.local > 0 {
		return o.openLocal(ctx)
	}
	list, err := o.remote.list(t)
	if err != nil {
		return nil, err
	}
	c := client.New(list)
	return &system{targets: []target{&remoteTarget{c, o.remote.timeout}}, close: c.Close}, nil
}

// remoteTarget calls a running cluster over its client ports.
type remoteTarget struct {
	client  *client.Client
	timeout time.Duration
}

func (r *remoteTarget) put(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	_, err := r.client.Put(ctx, key, value)
	return err
}

func (r *remoteTarget) get(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	_, _, _, err := r.client.Get(ctx, key)
	return err
}

func (r *remoteTarget) leader(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	status, _ := r.client.Status(ctx) // nil when unknown, which says ""
	return status.GetLeader()
}

// keysOf is how many keys each group has: fewer when there are many groups, so that the first writes do not take minutes.
func keysOf(groups int) int { return max(keyCount/groups, 4) }

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
			for i := w; i < keys*len(s.targets); i += writers {
				for {
					if errs[w] = s.targets[i%len(s.targets)].put(limited, benchKeys[i/len(s.targets)], make([]byte, 128)); errs[w] == nil {
						break
					}
					if limited.Err() != nil || errors.Is(errs[w], client.ErrUnavailable) || errors.Is(errs[w], client.ErrInvalid) {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err() // what became of these writes is of no matter
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// call is what an operation is given: a map, how many of its keys exist, and a value to write.
type call struct {
	target target
	keys   uint64
	random *rand.Rand
	value  []byte
}

// operation is one call of a client.
type operation func(context.Context, call) error

var operations = map[string]operation{"put": benchPut, "get": benchGet, "mixed": benchMixed}

func benchPut(ctx context.Context, c call) error {
	return c.target.put(ctx, benchKeys[c.random.Uint64N(c.keys)], c.value)
}

func benchGet(ctx context.Context, c call) error {
	return c.target.get(ctx, benchKeys[c.random.Uint64N(c.keys)])
}

func benchMixed(ctx context.Context, c call) error {
	if c.random.Uint64N(10) < 9 {
		return benchGet(ctx, c)
	}
	return benchPut(ctx, c)
}

// benchClients spreads the clients evenly over the groups.
func benchClients(s *system, do operation, count, valueSize int) []func(context.Context) error {
	clients := make([]func(context.Context) error, count)
	for i := range clients {
		c := call{
			target: s.targets[i%len(s.targets)], keys: uint64(keysOf(len(s.targets))),
			random: rand.New(rand.NewPCG(uint64(i), 7)),
		}
		c.value = randomValue(c.random, valueSize)
		clients[i] = func(ctx context.Context) error { return do(ctx, c) }
	}
	return clients
}

func randomValue(random *rand.Rand, size int) []byte {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	return value
}
