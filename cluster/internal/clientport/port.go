package clientport

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

// Bounds on one connection. What all of them hold together is bounded by [Limits].
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

// Node is what the port asks of the node that it belongs to, from any goroutine.
type Node interface {
	// Groups are the names of the groups that were started, in that order.
	Groups() []string
	// Status is a group as this node and, unless local, its peers see it; nil when there is none of that name.
	Status(ctx context.Context, group string, local bool) *messages.StatusResponse
	// Broken says why the node needs a restart, or nil.
	Broken() error
	// Unready says what keeps the node from serving, or nil.
	Unready() error
}

// Config is what a client port is opened with.
type Config struct {
	// Listen is the host:port to bind.
	Listen string
	// Public is the host:port at which clients reach it. Port 0 stands for the one that was bound.
	Public string
	Limits Limits
	Logger *slog.Logger
}

// Port is the node's HTTP server: Connect, gRPC, gRPC-Web and JSON handlers, and the health checks, over HTTP/1.1 and
// unencrypted HTTP/2. A node without a client address has none, and a nil Port does nothing. It is safe for concurrent use.
type Port struct {
	node     Node
	listener net.Listener
	public   string
	server   *http.Server
	mux      *http.ServeMux
	limiter  *limiter
	log      *slog.Logger
}

// Listen opens a port, which serves nobody before [Port.Serve]. Its owner ends it with [Port.Close].
func Listen(c Config, node Node) (*Port, error) {
	listener, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the client port %s is taken: stop what listens there, or choose another (%w)", c.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the client port %s cannot be opened: choose an address of this machine (%w)", c.Listen, err)
	}
	p := &Port{node: node, listener: listener, mux: http.NewServeMux(), log: c.Logger, public: publicAddress(c.Public, listener)}
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

// Address is where clients reach the port, empty without one.
func (p *Port) Address() string {
	if p == nil {
		return ""
	}
	return p.public
}

// Handle mounts a handler. It turns the mux's panics over bad and repeated patterns into errors.
func (p *Port) Handle(pattern string, h http.Handler) (err error) {
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

// Serve begins to serve clients, until the port is closed.
func (p *Port) Serve() {
	if p == nil {
		return
	}
	go func() {
		if err := p.server.Serve(p.limiter.listener(p.listener)); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the client port failed: restart the node", "err", err)
		}
	}()
}

// Drain accepts no more connections and lets requests under way finish; the channel is closed when all have, or after limit.
func (p *Port) Drain(limit time.Duration) <-chan struct{} {
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

// Close cuts every connection.
func (p *Port) Close() {
	if p == nil {
		return
	}
	_ = p.server.Close()
	_ = p.listener.Close() // when it was never served
	p.limiter.stop()
}

// statusService answers Cluster.Status.
type statusService struct{ node Node }

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
