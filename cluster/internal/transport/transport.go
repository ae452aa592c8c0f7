package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
)

// Config says how a transport listens and with whom it speaks.
type Config struct {
	// Listen is the host:port to bind. With port 0 the system chooses one.
	Listen string
	// Advertise is the host:port that the peers dial and know this node by. Empty: Listen, with the real port.
	Advertise string
	// Peers are the advertised addresses of the known peers; this node's own may be among them and is ignored.
	Peers []string
	// TLS makes every connection mutually authenticated. nil: plaintext, for tests and closed networks, where whoever reaches the
	// port can claim to be a peer.
	TLS *TLS
	// Settling says that more peers may become known soon: an unknown address is told to try again then, not refused. It is called
	// from many goroutines, for every such greeting. nil: never.
	Settling func() bool
	// Admits says whether a message shows that who sent it knows the cluster. Somebody at an unknown address is let in as a stranger
	// if what it says first does, and only such messages of a stranger are delivered. It is called from many goroutines, so it should
	// be quick. nil: there are no strangers.
	Admits func(proto.Message) bool
	// Shows are the messages that show this to the peer at an address, as it may not know this node: each of at most 1 KiB, and no
	// more than 64. They are sent with a greeting, to an actor there that ignores them. nil: none are.
	Shows func(address string) (target *actor.PID, all []proto.Message)
	// AllowTypes are the message types that travel, in both directions: one sample of each.
	AllowTypes []proto.Message
	// AllowTarget says which local actor ids may be addressed from outside. It is called for every frame from many
	// goroutines, so it should be quick.
	AllowTarget func(actorID string) bool
	// MaxMessageBytes limits one frame, which carries up to 64 messages. Half of it may be queued for a peer; a message
	// may be a quarter of it. All nodes need the same. Default 16 MiB, at least 64 KiB.
	MaxMessageBytes int
	// Logger gets connections made and lost (info, at most ten for each peer in a minute), and what keeps nodes apart (warning, at
	// most one for each peer or host, and cause, in a minute; the number of hosts is bounded). nil: none.
	Logger *slog.Logger
	// OnConnect and OnDisconnect are hints that the outbound connection to a peer was made or broke, in this order and from
	// any goroutine. They must not block, and must not call SetPeers or Shutdown. The peer of a connection that broke may still run.
	OnConnect    func(address string)
	OnDisconnect func(address string)

	strangerTime time.Duration // shorter in tests
}

const (
	defaultMessageBytes = 16 << 20
	leastMessageBytes   = 64 << 10
	writerQueue         = 8 // of the endpoint writer, which gets no messages
)

// Transport is a running remote. All methods are safe for concurrent use.
type Transport struct {
	config     Config
	system     *actor.ActorSystem
	remote     *remote.Remote
	address    string
	types      typeSet
	logger     *slog.Logger
	maxMessage int
	maxQueue   int64
	door       *door
	counters   counters
	quiet      hush.Hush

	peers      atomic.Pointer[map[string]*peer] // every peer ever known, and the strangers; replaced, never changed
	mu         sync.Mutex                       // of what changes the peers
	closed     bool
	events     *eventstream.Subscription
	attention  chan struct{}
	stop, done chan struct{}
}

// remoteStart serialises Remote.Start, which sets gRPC's global logger. A start while another transport of the process runs
// still is a data race inside gRPC, harmless but seen by the race detector.
var remoteStart sync.Mutex

// Start listens, and connects to the peers and stays connected. It must be the first thing done with the system, which
// belongs to the transport from then on: actors spawned before have no address that peers could answer to. After an error the
// system cannot be used any more.
func Start(system *actor.ActorSystem, c Config) (*Transport, error) {
	if system == nil {
		return nil, errors.New("the transport needs an actor system; make one with NewSystem")
	}
	host, port, err := checkConfig(&c)
	if err != nil {
		return nil, err
	}
	if err := c.TLS.check(); err != nil {
		return nil, err
	}
	t := &Transport{
		system: system, types: newTypeSet(c.AllowTypes), logger: c.Logger,
		maxMessage: c.MaxMessageBytes / 4, maxQueue: int64(c.MaxMessageBytes / 2),
		attention: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	t.config = c
	t.door = newDoor(t)
	t.peers.Store(&map[string]*peer{})
	rc := remote.Configure(host, port,
		remote.WithDialOptions(t.dialOptions()...),
		remote.WithServerOptions(t.serverOptions()...),
		remote.WithEndpointWriterBatchSize(writerQueue),
		remote.WithEndpointWriterQueueSize(writerQueue),
	)
	rc.MaxRetryCount = 1
	system.ProcessRegistry.RegisterAddressResolver(t.resolve)
	t.remote = remote.NewRemote(system, rc)
	for attempt := 1; ; attempt++ {
		if rc.Port, t.address, err = advertised(c); err != nil {
			return nil, err
		}
		rc.AdvertisedHost = t.address
		if err = startRemote(t.remote, c.Listen); err == nil {
			break
		}
		if port != 0 || attempt == 5 { // a port that the system chose may be lost again before the remote listens on it
			return nil, err
		}
	}
	// The remote has subscribed before: when this is called, the endpoint is gone.
	t.events = system.EventStream.Subscribe(func(event any) {
		if _, ok := event.(*remote.EndpointTerminatedEvent); ok {
			t.look()
		}
	})
	go t.run()
	if c.TLS != nil {
		go c.TLS.files.Renew(c.Logger, t.stop)
	}
	t.SetPeers(c.Peers)
	return t, nil
}

func checkConfig(c *Config) (host string, port int, err error) {
	host, portName, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("the peer address %q cannot be listened on; give host:port: %w", c.Listen, err)
	}
	if port, err = net.LookupPort("tcp", portName); err != nil {
		return "", 0, fmt.Errorf("the peer address %q cannot be listened on; give host:port: %w", c.Listen, err)
	}
	if ip := net.ParseIP(host); c.Advertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return "", 0, fmt.Errorf("peers cannot dial %q; listen on one address, or set the address to advertise", c.Listen)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	nodes := slices.Clone(c.Peers)
	if c.Advertise != "" {
		nodes = append(nodes, c.Advertise)
	}
	for _, a := range nodes {
		if h, p, err := net.SplitHostPort(a); err != nil || h == "" || p == "" || p == "0" {
			return "", 0, fmt.Errorf("%q is no address of a node; give host:port", a)
		}
	}
	if c.AllowTarget == nil || len(c.AllowTypes) == 0 {
		return "", 0, errors.New("the transport needs AllowTypes and AllowTarget: nothing may arrive otherwise")
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMessageBytes
	}
	if c.MaxMessageBytes < leastMessageBytes || c.MaxMessageBytes > 1<<30 {
		return "", 0, fmt.Errorf("MaxMessageBytes is %d; give at least %d and at most 1 GiB", c.MaxMessageBytes, leastMessageBytes)
	}
	if c.strangerTime == 0 {
		c.strangerTime = strangerTime
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return host, port, nil
}

// Probe listens once: that tells a taken port in an error that errors.Is understands, and finds a port where none is given.
func Probe(listen string) (port int, err error) {
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return 0, fmt.Errorf("the peer address %s cannot be listened on; is another node running there? %w", listen, err)
	}
	if err != nil {
		return 0, fmt.Errorf("the peer address %s cannot be listened on; choose one of this machine to listen on: %w", listen, err)
	}
	_ = l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// advertised is the address to advertise, and the port to listen on. Proto.Actor is told it because it would take the one that the
// host's name resolves to.
func advertised(c Config) (port int, advertise string, err error) {
	port, err = Probe(c.Listen)
	if err != nil || c.Advertise != "" {
		return port, c.Advertise, err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	return port, net.JoinHostPort(host, strconv.Itoa(port)), err
}

// startRemote turns the panics of Remote.Start into errors.
func startRemote(r *remote.Remote, listen string) (err error) {
	remoteStart.Lock()
	defer remoteStart.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the peer address %s cannot be listened on; is another node running there? %v", listen, p)
		}
	}()
	r.Start()
	return nil
}

func (t *Transport) stopping() bool {
	select {
	case <-t.stop:
		return true
	default:
		return false
	}
}

// Connected says whether messages to the peer at this address leave now. It is cheap, and no more than a hint: the connection may be
// broken without anybody knowing.
func (t *Transport) Connected(address string) bool {
	p := t.peer(address)
	return p != nil && p.link.Load() != nil
}

// Address is this node's advertised address.
func (t *Transport) Address() string { return t.address }

// SetPeers replaces the known peers. Connections to and from those left out are closed, and mail to them is dropped. One that is left
// out may come again as a stranger, and a stranger that becomes a peer keeps its connections.
func (t *Transport) SetPeers(addresses []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.setPeers(addresses, errNoPeer)
	t.look()
}

// setPeers replaces the known peers. Links to those left out end with the error why.
func (t *Transport) setPeers(addresses []string, why error) {
	wanted := map[string]bool{}
	for _, a := range addresses {
		if a != t.address && a != "" {
			wanted[a] = true
			t.enter(a).listed.Store(true)
		}
	}
	for a, p := range *t.peers.Load() {
		l := p.life.Load()
		switch isPeer := l != nil && !l.isStranger; {
		case wanted[a] && !isPeer:
			p.begin(false)
		case !wanted[a] && (isPeer || l != nil && t.closed):
			p.leave(why)
		}
	}
}

// enter finds or makes the peer of an address. The caller holds mu.
func (t *Transport) enter(address string) *peer {
	if p := t.peer(address); p != nil {
		return p
	}
	p := &peer{address: address, transport: t, wake: make(chan struct{}, 1)}
	all := maps.Clone(*t.peers.Load())
	all[address] = p
	t.peers.Store(&all)
	return p
}

// look makes run look at the peers at once.
func (t *Transport) look() {
	select {
	case t.attention <- struct{}{}:
	default:
	}
}

// run sees to it that every peer is connected or being dialed, and that connections make progress.
func (t *Transport) run() {
	defer close(t.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		ticked := false
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			ticked = true
		case <-t.attention:
		}
		if ticked {
			t.tendStrangers(time.Now())
		}
		for _, p := range *t.peers.Load() {
			l := p.link.Load()
			if l != nil && ticked {
				l.tick()
			}
			if l == nil && p.known() && p.dials.Load() == 0 {
				// Not news but a way to make the remote create its endpoint, which dials, without sending a message that
				// would be stale on arrival.
				t.system.EventStream.Publish(&remote.EndpointConnectedEvent{Address: p.address})
			}
		}
	}
}

// Shutdown closes the listener and every connection, and drops whatever is sent afterwards. It takes milliseconds and may be
// called more than once. The remote's own Shutdown(true) can take ten seconds, and lets senders panic meanwhile.
func (t *Transport) Shutdown() {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	if first {
		close(t.stop)
		t.setPeers(nil, errStopping)
	}
	t.mu.Unlock()
	<-t.done
	if !first {
		return
	}
	t.door.shut()
	t.remote.Shutdown(false)
	t.system.EventStream.Unsubscribe(t.events)
}
