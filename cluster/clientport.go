package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// Bounds on one connection. What all of them hold together is bounded by [ClientLimits].
const (
	headerTime  = 5 * time.Second
	idleTime    = 2 * time.Minute
	pingTime    = 30 * time.Second
	headerBytes = 16 << 10
	streams     = 1024     // requests at a time on one HTTP/2 connection
	frameBytes  = 64 << 10 // read at a time
	// What a client may send ahead of the handler that reads it. Bodies that wait for room must not keep those that have room from
	// arriving, so a connection may bring much more than a stream; that must not be less than HTTP/2's 64 KiB, which a client may send
	// before it knows.
	unreadOnStream     = 64 << 10
	unreadOnConnection = 4<<20 - 1
)

// servedNode is what the port asks of the node that it belongs to, from any goroutine.
type servedNode interface {
	// Groups are the names of the groups that were started, in that order.
	Groups() []string
	// Status is a group as this node and, unless local, its peers see it; nil when there is none of that name.
	Status(ctx context.Context, group string, local bool) *messages.StatusResponse
	// Broken says why the node needs a restart, or nil.
	Broken() error
	// Unready says what keeps the node from serving, or nil.
	Unready() error
}

// clientPortConfig is what a client port is opened with.
type clientPortConfig struct {
	// Listen is the host:port to bind.
	Listen string
	// Public is the host:port at which clients reach it. Port 0 stands for the one that was bound.
	Public string
	Limits ClientLimits
	Logger *slog.Logger
}

// clientPort is the node's HTTP server: Connect, gRPC, gRPC-Web and JSON handlers, and the health checks, over HTTP/1.1 and
// unencrypted HTTP/2. A node without a client address has none, and a nil clientPort does nothing.
type clientPort struct {
	node     servedNode
	listener net.Listener
	public   string
	server   *http.Server
	mux      *http.ServeMux
	limiter  *limiter
	log      *slog.Logger
}

func listenForClients(c clientPortConfig, node servedNode) (*clientPort, error) {
	listener, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the client port %s is taken: stop what listens there, or choose another (%w)", c.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the client port %s cannot be opened: choose an address of this machine (%w)", c.Listen, err)
	}
	p := &clientPort{node: node, listener: listener, mux: http.NewServeMux(), log: c.Logger, public: publicAddress(c.Public, listener)}
	p.limiter = newLimiter(c.Limits)
	p.server = newServer(p.limiter, p.mux, slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug))
	p.mux.Handle(messagesconnect.NewClusterHandler(statusService{node}, HandlerOptions()...))
	p.mux.HandleFunc("GET /healthz", p.healthz)
	p.mux.HandleFunc("GET /readyz", p.readyz)
	return p, nil
}

func newServer(l *limiter, h http.Handler, errors *log.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:     l.handler(h),
		ConnContext: withConn,
		Protocols:   protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streams, MaxReadFrameSize: frameBytes, SendPingTimeout: pingTime,
			MaxReceiveBufferPerConnection: unreadOnConnection, MaxReceiveBufferPerStream: unreadOnStream,
		},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          errors,
	}
}

// publicAddress is the configured one, with the port that was taken when it left the choice open.
func publicAddress(configured string, listener net.Listener) string {
	host, port, err := net.SplitHostPort(configured)
	if err != nil || port != "0" {
		return configured
	}
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port)
}

func (p *clientPort) address() string {
	if p == nil {
		return ""
	}
	return p.public
}

// handle turns the mux's panics over bad and repeated patterns into errors.
func (p *clientPort) handle(pattern string, h http.Handler) (err error) {
	if p == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("nothing can be mounted at %q on the client port: %v", pattern, r)
		}
	}()
	p.mux.Handle(pattern, h)
	return nil
}

func (p *clientPort) serve() {
	if p == nil {
		return
	}
	go func() {
		if err := p.server.Serve(p.limiter.listener(p.listener)); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the client port failed: restart the node", "err", err)
		}
	}()
}

// drain accepts no more connections and lets requests under way finish; the channel is closed when all have, or after limit.
func (p *clientPort) drain(limit time.Duration) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = p.server.Shutdown(ctx)
	}()
	return done
}

// close cuts every connection.
func (p *clientPort) close() {
	if p == nil {
		return
	}
	_ = p.server.Close()
	_ = p.listener.Close() // when it was never served
	p.limiter.stop()
}

// statusService answers Cluster.Status.
type statusService struct{ node servedNode }

var _ messagesconnect.ClusterHandler = statusService{}

func (s statusService) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	groups := s.node.Groups()
	if len(groups) == 0 {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("no group is started on this node yet: try again"))
	}
	status := s.node.Status(ctx, cmp.Or(r.GetGroup(), groups[0]), r.GetLocal())
	if status == nil {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no group %q on this node: its first group is %q", r.GetGroup(), groups[0]))
	}
	return status, nil
}
