package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/actors"
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

// system is a cluster under measurement.
type system struct {
	dir    string // where its data is, if here
	put    func(ctx context.Context, key string, value []byte) error
	get    func(ctx context.Context, key string) error
	leader func() string
	close  func()
}

func (o *benchOptions) open(ctx context.Context, t *terminal) (*system, error) {
	if o.local > 0 {
		return openLocal(ctx, o.local, o.dir)
	}
	list, err := o.remote.list(t)
	if err != nil {
		return nil, fmt.Errorf("%w, or start nodes here with --local 3", err)
	}
	return openRemote(list, o.remote.timeout), nil
}

func openRemote(endpoints []string, timeout time.Duration) *system {
	c := client.New(endpoints)
	return &system{
		put: func(ctx context.Context, key string, value []byte) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			_, err := c.Put(ctx, key, value)
			return err
		},
		get: func(ctx context.Context, key string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			_, _, _, err := c.Get(ctx, key)
			return err
		},
		leader: func() string {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			status, _ := c.Status(ctx) // nil when unknown, which says ""
			return status.GetLeader()
		},
		close: c.Close,
	}
}

func openLocal(ctx context.Context, nodes int, parent string) (*system, error) {
	dir, remove, err := host.MakeDataDir(parent, "bench")
	if err != nil {
		return nil, err
	}
	cluster, err := host.StartLocal(ctx, nodes, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		remove()
		return nil, err
	}
	ends := func() {
		limited, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		_ = cluster.Close(limited) // the data is removed anyway
		remove()
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := cluster.AwaitLeader(limited); err != nil {
		ends()
		return nil, err
	}
	l := &localTarget{cluster: cluster}
	l.find()
	return &system{dir: dir, put: l.put, get: l.get, leader: l.leader, close: ends}, nil
}

// localTarget calls the node that leads, through the Go API.
type localTarget struct {
	cluster *host.Local
	node    atomic.Pointer[host.Node]
}

func (l *localTarget) find() {
	if n, _ := l.cluster.Leader(); n != nil {
		l.node.Store(n)
	}
}

func (l *localTarget) leader() string { return l.node.Load().ID() }

func (l *localTarget) put(ctx context.Context, key string, value []byte) error {
	_, err := l.node.Load().Map.Put(ctx, key, value)
	return l.follow(err)
}

func (l *localTarget) get(ctx context.Context, key string) error {
	_, _, _, err := l.node.Load().Map.Get(ctx, key)
	return l.follow(err)
}

func (l *localTarget) follow(err error) error {
	if errors.Is(err, actors.ErrNotLeader) {
		l.find()
	}
	return err
}

// preload writes every key once, so that reads find something.
func preload(ctx context.Context, s *system) error {
	const writers, limit = 64, 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < keyCount; i += writers {
				for {
					if errs[w] = s.put(ctx, benchKeys[i], make([]byte, 128)); errs[w] == nil {
						break
					}
					if ctx.Err() != nil || errors.Is(errs[w], client.ErrUnavailable) || errors.Is(errs[w], client.ErrInvalid) {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// operation is one call of a client.
type operation func(ctx context.Context, s *system, random *rand.Rand, value []byte) error

// operations by their names, and by those that peerbench gives them.
var operations = map[string]operation{"put": benchPut, "write": benchPut, "get": benchGet, "read": benchGet, "mixed": benchMixed}

func benchPut(ctx context.Context, s *system, random *rand.Rand, value []byte) error {
	return s.put(ctx, benchKeys[random.Uint64N(keyCount)], value)
}

func benchGet(ctx context.Context, s *system, random *rand.Rand, _ []byte) error {
	return s.get(ctx, benchKeys[random.Uint64N(keyCount)])
}

func benchMixed(ctx context.Context, s *system, random *rand.Rand, value []byte) error {
	if random.Uint64N(10) < 9 {
		return benchGet(ctx, s, random, value)
	}
	return benchPut(ctx, s, random, value)
}

func benchClients(s *system, do operation, count, valueSize int) []func(context.Context) error {
	clients := make([]func(context.Context) error, count)
	for i := range clients {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		value := make([]byte, valueSize)
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		clients[i] = func(ctx context.Context) error { return do(ctx, s, random, value) }
	}
	return clients
}
