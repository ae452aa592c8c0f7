package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/clientport"
	"github.com/troupe-raft/troupe/cluster/internal/transport"
	"github.com/troupe-raft/troupe/persistence"
)

// Node is one member of a cluster: a data directory, a peer port, perhaps a client port, and the groups that were started on
// it. It is safe for concurrent use.
type Node struct {
	config  Config
	options options
	log     *slog.Logger

	system    *actor.ActorSystem
	transport *transport.Transport
	store     *persistence.Store
	shared    actors.Shared
	port      *clientport.Port
	prober    *prober
	calls     *calls
	workers   workers
	mailboxes *mailboxes

	mu       sync.Mutex
	groups   map[string]*Group
	order    []string // of groups, in the order of their starts
	starting map[string]*Group
	started  time.Time // when a start last ended
	starts   sync.WaitGroup
	closing  bool

	peersMu sync.Mutex // guards peers, and the transport's
	peers   peerBook

	failure atomic.Pointer[error]

	stopOnce sync.Once
	ending   chan struct{} // closed when the node begins to stop
	stopErr  error
	done     chan struct{}
}

// Start starts a node. Its data directory is opened, or founded when it is empty; its ports are bound. Groups are started
// afterwards, with [Node.StartGroup]. The caller ends the node with [Node.Shutdown]; ctx is for the start alone.
//
// An error is a sentence that says what to do. A start that fails leaves nothing behind.
func Start(ctx context.Context, c Config, opts ...Option) (*Node, error) {
	c.setDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if ctx != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("node %s was not started: %w", c.ID, ctx.Err())
	}
	n := &Node{
		config: c, log: c.Logger.With("node", c.ID),
		groups: map[string]*Group{}, starting: map[string]*Group{}, peers: newPeerBook(),
		ending: make(chan struct{}), done: make(chan struct{}),
	}
	for _, option := range opts {
		if option != nil {
			option(&n.options)
		}
	}
	if err := n.start(); err != nil {
		return nil, err
	}
	n.log.Info("the node is started", "peers", c.PeerAddr, "clients", n.ClientAddr(), "dir", c.DataDir)
	return n, nil
}

// start makes the node's parts, the lowest first. After an error it ends those that it made, the last one first.
func (n *Node) start() (err error) {
	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		for _, f := range slices.Backward(undo) {
			f()
		}
	}()

	if n.port, err = n.openClientPort(); err != nil {
		return err
	}
	undo = append(undo, n.port.Close)

	// No directory is founded with bad certificates or an address that cannot be bound.
	tls, err := n.config.TLS.load()
	if err != nil {
		return err
	}
	if _, err = transport.Probe(n.config.PeerListen); err != nil {
		return err
	}
	// The store is opened beside all that does not need it.
	var opening sync.WaitGroup
	var storeErr error
	opening.Go(func() { n.store, storeErr = n.openStore() })
	undo = append(undo, func() {
		if n.store != nil {
			_ = n.store.Close()
		}
	})
	n.system = transport.NewSystem(n.log)
	n.mailboxes = newMailboxes(&n.workers)
	undo = append(undo, n.system.Shutdown, n.workers.close)
	n.prober = newProber(n)
	if n.transport, err = startTransport(n, tls); err == nil {
		undo = append(undo, n.transport.Shutdown)
	}
	opening.Wait()
	if err = cmp.Or(storeErr, err); err != nil {
		return err
	}

	n.shared, err = actors.StartShared(n.system.Root, actors.SharedConfig{
		Store: n.store, Clock: wallClock{n.system.Root}, Write: n.workers.run, Run: n.workers.run, Broken: n.storageFailed,
		LogBudget: n.config.LogBudget, TransferRate: n.config.TransferRate, ChunkBytes: n.config.Limits.ChunkBytes,
		Timing: n.config.Timing,
	}, n.props()...)
	if err != nil {
		return err
	}
	if err = n.prober.spawn(n.system.Root); err != nil {
		return err
	}
	n.calls = newCalls()
	n.port.Serve()
	go n.tend(n.store.SyncSequence) // when the node has become idle; under load, commits do
	go n.tend(n.store.PrepareLog)   // takes seconds
	go n.tend(n.store.FlushCut)     // likewise
	return nil
}

func (n *Node) openStore() (*persistence.Store, error) {
	return persistence.Open(n.config.DataDir, persistence.Options{
		FS: n.options.fs, NodeID: n.config.ID, Cluster: n.config.Cluster, Logger: n.log, OnFailure: n.storageFailed,
		LogGranule: int(actors.Granule(n.config.LogBudget)),
	})
}

// props returns the properties that all of Raft's actors on this node have.
func (n *Node) props() []actor.PropsOption {
	return []actor.PropsOption{actor.WithDispatcher(n.mailboxes)}
}

// tend does something for the store once a second, until that fails or the node is stopped. Others report the failure.
func (n *Node) tend(do func() error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-ticker.C:
			if do() != nil {
				return
			}
		}
	}
}

// ID is the node's id.
func (n *Node) ID() string { return n.config.ID }

// PeerAddr is where the other nodes reach this one.
func (n *Node) PeerAddr() string { return n.config.PeerAddr }

// ClientAddr is where clients reach this node, empty without a client port.
func (n *Node) ClientAddr() string { return n.port.Address() }

// Handle mounts a handler on the client port, with the patterns of [http.ServeMux]. Without a client port it does nothing.
func (n *Node) Handle(pattern string, h http.Handler) error { return n.port.Handle(pattern, h) }

// Group finds a group that was started on this node.
func (n *Node) Group(name string) (*Group, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, found := n.groups[name]
	return g, found
}

// Groups are the groups that were started on this node, in that order.
func (n *Node) Groups() []*Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*Group, len(n.order))
	for i, name := range n.order {
		all[i] = n.groups[name]
	}
	return all
}

// Failed returns why the node can promise nothing any more, or nil. A node whose disk failed still answers reads of what it has
// in memory, and tells everybody about the failure; it must be shut down and started again.
func (n *Node) Failed() error {
	if err := n.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Done is closed when the node is stopped.
func (n *Node) Done() <-chan struct{} { return n.done }

// storageFailed is called by the store, from anywhere, and must not block.
func (n *Node) storageFailed(err error) {
	n.failure.CompareAndSwap(nil, &err)
	attributes := []any{"err", err}
	var p interface{ Stack() string }
	if errors.As(err, &p) {
		attributes = append(attributes, "stack", p.Stack())
	}
	n.log.Error("the storage failed: the node promises nothing until it is restarted", attributes...)
	for _, g := range n.Groups() {
		g.door.StorageFailed(err)
	}
}

// peerConnected is called by the transport when the connection to a peer was made.
func (n *Node) peerConnected(address string) {
	for _, g := range n.Groups() {
		g.door.PeerConnected(address)
	}
}

// peerLost is called by the transport when the connection to a peer broke.
func (n *Node) peerLost(address string) {
	for _, g := range n.Groups() {
		g.door.LeaderLost(address)
	}
}

var errStopping = errors.New("the node is stopping: start a new one")

// randomSeed differs from node to node and from start to start: elections must not tie.
func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
