package clientport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// Config is what a client port is opened with.
type Config struct {
	// Listen is the host:port to bind.
	Listen string
	// Public is the host:port at which clients reach it. Port 0 stands for the one that was bound.
	Public string
	// TLS is the port's certificate, and the authorities of its clients, if any; nil: plain text. The port reads the files again.
	TLS    *tlsfiles.Files
	Limits Limits
	Logger *slog.Logger
}

// Port is the node's HTTP server: Connect, gRPC, gRPC-Web and JSON handlers, and the health checks, over HTTP/1.1 and
// HTTP/2, with TLS or without. A node without a client address has none, and a nil Port does nothing. It is safe for concurrent use.
type Port struct {
	listener *listener
	tls      *tlsfiles.Files
	public   string
	server   *http.Server
	mux      *http.ServeMux
	limiter  *limiter
	streams  *exchanges
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
	p := &Port{tls: c.TLS, mux: http.NewServeMux(), log: c.Logger, public: publicAddress(c.Public, listener)}
	p.limiter = newLimiter(c.Limits)
	p.limiter.leader = leaderOf(node)
	p.listener = p.limiter.listener(listener)
	p.server = newServer(p.limiter, p.mux, c.TLS != nil, slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug))
	p.mux.Handle(messagesconnect.NewClusterHandler(clusterService{node}, HandlerOptions()...))
	p.mux.Handle(messagesconnect.NewSessionHandler(sessionService{node}, HandlerOptions()...))
	p.mux.Handle(messagesconnect.NewGroupHandler(groupService{node: node}, HandlerOptions()...))
	p.streams = newExchanges(node, c.Limits.Calls)
	p.mux.Handle(newExchangeHandler(p.streams))
	p.mux.Handle("GET "+healthPath, healthPage(node.Broken))
	p.mux.Handle("GET "+readyPath, healthPage(node.Unready))
	return p, nil
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

// HandlerOptions are for handlers on the port: cluster.HandlerOptions says what they do.
func HandlerOptions() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCompression("gzip", func() connect.Decompressor { return new(unpacker) }, newPacker),
		connect.WithCodec(strictJSON("json")),
		connect.WithCodec(strictJSON("json; charset=utf-8")),
		connect.WithInterceptors(connect.UnaryInterceptorFunc(limitTime)),
	}
}

// limitTime lets no call wait longer than one of an Exchange may, whatever its client says: it holds a place that others need. Without a
// deadline, handlers have times of their own.
func limitTime(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) > mostCallTime {
			limited, cancel := context.WithTimeout(ctx, mostCallTime)
			defer cancel()
			ctx = limited
		}
		return next(ctx, r)
	}
}

// Serve begins to serve clients, until the port is closed.
func (p *Port) Serve() {
	if p == nil {
		return
	}
	var listener net.Listener = p.listener
	if p.tls != nil {
		listener = newSecured(listener, p.tls, p.log)
		go p.tls.Renew(p.log, p.limiter.stopped)
	}
	go func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
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
		p.streams.stop()
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = p.server.Shutdown(ctx)
	}()
	return done
}

// Close cuts every connection. It is called once.
func (p *Port) Close() {
	if p == nil {
		return
	}
	p.listener.cut() // the server would take leave of each, and wait for those that do not read
	_ = p.server.Close()
	_ = p.listener.Close() // when it was never served
	p.listener.cut()       // those that the server does not know yet
	p.limiter.stop()
}
