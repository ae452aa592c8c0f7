package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
)

// Local is a cluster whose nodes are all in this process, with loopback sockets and a directory each. It is safe for concurrent
// use.
type Local struct {
	members []actors.Member
	configs []cluster.Config
	options LocalOptions

	mu    sync.Mutex
	nodes []*Node // nil: stopped
}

// LocalOptions are for clusters that are more than one map.
type LocalOptions struct {
	// Groups on every node.
	Groups int
	// Apps, one for each node, get actors of the groups; nil: nobody does.
	Apps []*actor.ActorSystem
	// FS is where the data is; nil: the machine's file system.
	FS vfs.FS
}

// StartLocal starts size nodes, n1 and so on, with their data below dir. Their addresses are theirs until ctx is done.
func StartLocal(ctx context.Context, size int, dir string, logger *slog.Logger, options LocalOptions) (*Local, error) {
	addresses, err := FreeAddresses(ctx, 2*size)
	if err != nil {
		return nil, err
	}
	l := &Local{nodes: make([]*Node, size), options: options}
	for i := range size {
		id := fmt.Sprintf("n%d", i+1)
		l.members = append(l.members, actors.Member{ID: id, Address: addresses[2*i]})
		l.configs = append(l.configs, cluster.Config{
			ID: id, DataDir: filepath.Join(dir, id), PeerAddr: addresses[2*i], ClientAddr: addresses[2*i+1], Logger: logger,
		})
	}
	if err := l.StartAll(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// StartAll starts every node, none of which may run, or none. The groups of all nodes start at the same time: until all members
// of a group run, the others hold elections that nobody can win.
func (l *Local) StartAll(ctx context.Context) error {
	errs := make([]error, len(l.configs))
	var wg sync.WaitGroup
	for i := range l.configs {
		node, err := l.open(ctx, i)
		if err != nil {
			errs[i] = l.cannotStart(i, err)
			break
		}
		wg.Go(func() { errs[i] = l.join(ctx, i, node) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		limited, cancel := undoContext(ctx)
		defer cancel()
		return errors.Join(err, l.Close(limited))
	}
	return nil
}

// Start starts the node with that number, from 0, from its directory.
func (l *Local) Start(ctx context.Context, i int) error {
	node, err := l.open(ctx, i)
	if err != nil {
		return l.cannotStart(i, err)
	}
	return l.join(ctx, i, node)
}

func (l *Local) open(ctx context.Context, i int) (*cluster.Node, error) {
	var options []cluster.Option
	if l.options.Apps != nil {
		options = append(options, cluster.WithActorSystem(l.options.Apps[i]))
	}
	if l.options.FS != nil {
		options = append(options, cluster.WithFS(l.options.FS))
	}
	return cluster.Start(ctx, l.configs[i], options...)
}

// ClientAddr is the client address of the node with that number.
func (l *Local) ClientAddr(i int) string { return l.configs[i].ClientAddr }

// App is the application's actor system that the node uses, or nil.
func (l *Local) App(n *Node) *actor.ActorSystem {
	for i := range l.options.Apps {
		if l.configs[i].ID == n.ID() {
			return l.options.Apps[i]
		}
	}
	return nil
}

func (l *Local) join(ctx context.Context, i int, node *cluster.Node) error {
	n, err := startGroups(ctx, node, l.configs[i], l.members, l.options.Groups)
	if err != nil {
		return l.cannotStart(i, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[i] = n
	return nil
}

func (l *Local) cannotStart(i int, err error) error {
	return fmt.Errorf("cannot start node %s: %w", l.configs[i].ID, err)
}

// Size is the number of nodes, running or not; Groups that of the groups on each.
func (l *Local) Size() int   { return len(l.configs) }
func (l *Local) Groups() int { return l.options.Groups }

// Take removes a running node from the cluster, for the caller to stop; nil when it was not running.
func (l *Local) Take(i int) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nodes[i]
	l.nodes[i] = nil
	return n
}

// Node is the node with that number, nil when it is not running.
func (l *Local) Node(i int) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[i]
}

// ClientAddresses are those of all nodes, running or not.
func (l *Local) ClientAddresses() []string {
	var all []string
	for _, c := range l.configs {
		all = append(all, c.ClientAddr)
	}
	return all
}

// Leader returns a node that leads and is ready to serve, and its number; nil and -1 when there is none now.
func (l *Local) Leader() (*Node, int) { return l.LeaderOf(0) }

// LeaderOf is Leader for the group with that number, from 0.
func (l *Local) LeaderOf(group int) (*Node, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	best, number := (*Node)(nil), -1
	var term uint64
	for i, n := range l.nodes {
		if n == nil {
			continue
		}
		// After a partition an old leader may not know yet that it is one no more: the highest term counts.
		if s := n.Parts[group].Status(); s.Role == actors.Leader && s.Ready && s.Term > term {
			best, number, term = n, i, s.Term
		}
	}
	return best, number
}

// AwaitLeader waits until a node leads and is ready to serve.
func (l *Local) AwaitLeader(ctx context.Context) (*Node, int, error) {
	n, i, err := l.await(ctx, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("no leader was elected: %w", err)
	}
	return n, i, nil
}

// AwaitLeaders waits until every group has a leader that is ready to serve.
func (l *Local) AwaitLeaders(ctx context.Context) error {
	for group := range l.options.Groups {
		if _, _, err := l.await(ctx, group); err != nil {
			return fmt.Errorf("%d of %d groups have no leader: %w", l.leaderless(), l.options.Groups, err)
		}
	}
	return nil
}

func (l *Local) leaderless() (count int) {
	for group := range l.options.Groups {
		if n, _ := l.LeaderOf(group); n == nil {
			count++
		}
	}
	return count
}

func (l *Local) await(ctx context.Context, group int) (*Node, int, error) {
	for {
		if n, i := l.LeaderOf(group); n != nil {
			return n, i, nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return nil, -1, ctx.Err()
		}
	}
}

// Close shuts down all running nodes, concurrently.
func (l *Local) Close(ctx context.Context) error {
	errs := make([]error, len(l.configs))
	var wg sync.WaitGroup
	for i := range l.configs {
		if n := l.Take(i); n != nil {
			wg.Go(func() { errs[i] = n.Shutdown(ctx) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// FreeAddresses returns different loopback addresses that nobody listens on. Until ctx is done no other call gets them, of this process
// or another: whoever holds the port for UDP has it. They are outside the range from which systems choose ports for outgoing
// connections: a node that is started again must find its ports free.
func FreeAddresses(ctx context.Context, count int) ([]string, error) {
	const lowest, ports, attempts = 20000, 10000, 1000
	var all []string
	var last error
	for range attempts {
		if len(all) == count {
			return all, nil
		}
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.N(ports))
		if err := hold(ctx, address); err != nil {
			last = err
			continue
		}
		all = append(all, address)
	}
	return nil, fmt.Errorf("cannot find free ports on 127.0.0.1: %w", last)
}

func hold(ctx context.Context, address string) error {
	held, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Join(err, held.Close())
	}
	context.AfterFunc(ctx, func() { _ = held.Close() })
	return listener.Close()
}

// MakeDataDir makes a new directory below parent, and the function that removes it. An empty parent means the user's cache
// directory, because temporary directories are often in memory, where nothing is ever synced to a disk.
func MakeDataDir(parent, prefix string) (dir string, remove func(), err error) {
	if parent == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		parent = filepath.Join(cache, "troupe")
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", nil, fmt.Errorf("cannot make the data directory, name another with --dir: %w", err)
	}
	if dir, err = os.MkdirTemp(parent, prefix+"-"); err != nil {
		return "", nil, fmt.Errorf("cannot make the data directory, name another with --dir: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
