package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
)

const (
	windowBytes = 1 << 20 // a peer may send so much to a reader that is stuck; with 1 ms of delay that still gives 1 GB/s
	writeBuffer = 32 << 10
	readBuffer  = 32 << 10
)

func (t *Transport) serverOptions() []grpc.ServerOption {
	recovered := recovery.WithRecoveryHandler(t.recovered)
	return []grpc.ServerOption{
		grpc.Creds(t.door),
		grpc.ForceServerCodecV2(newFrameCodec(t.types, &t.counters)),
		grpc.ChainStreamInterceptor(recovery.StreamServerInterceptor(recovered), t.guardStream),
		grpc.ChainUnaryInterceptor(recovery.UnaryServerInterceptor(recovered), t.refuseUnary),
		grpc.MaxRecvMsgSize(t.config.MaxMessageBytes),
		grpc.MaxSendMsgSize(answerBytes),
		grpc.MaxConcurrentStreams(1),
		grpc.MaxHeaderListSize(headerBytes),
		grpc.ConnectionTimeout(unprovenTime + time.Second), // the door acts first, and counts
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(4 << 10),
	}
}

func (t *Transport) recovered(p any) error {
	t.counters.refused[RefusedPanic].Add(1)
	if t.quiet.Allow("panic", 1) {
		t.logger.Error("a panic while handling a peer's messages was recovered and the stream closed: "+
			"this is a defect of troupe or of a local actor's mailbox", slog.Any("panic", p))
	}
	return status.Error(codes.Internal, "the stream was closed after an internal error")
}

func (t *Transport) refuseUnary(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
	return nil, status.Error(codes.Unimplemented, "unary calls are not served")
}

// guardStream runs Proto.Actor's reader behind a guarded stream, and closes the connection after it. The reader answers the
// greeting, and then waits for a frame that never comes: the guard delivers messages itself.
func (t *Transport) guardStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	g := &guarded{ServerStream: stream, transport: t, frame: frame{address: t.address}}
	if p, ok := grpcpeer.FromContext(stream.Context()); ok {
		g.from = p.Addr
		g.info, _ = p.AuthInfo.(inboundInfo)
	}
	if g.info.conn == nil {
		return status.Error(codes.Internal, "the connection did not come through the door")
	}
	g.info.conn.streams.Add(1)
	defer g.info.conn.linger()
	defer g.frame.release()
	if info.FullMethod != remote.Remoting_Receive_FullMethodName {
		return g.refused(refuse(RefusedUnary, "%s is not served", info.FullMethod))
	}
	return handler(server, g)
}

// A guarded stream gives the reader only the greeting of a known peer, or of a stranger that knows the cluster. It gives local actors
// their well-formed messages.
type guarded struct {
	grpc.ServerStream
	transport  *Transport
	info       inboundInfo
	from       net.Addr
	address    string                 // which peer it is, or says to be, after the greeting
	isAccepted bool                   // who greeted is a peer, or has shown that it knows the cluster
	greeting   *remote.ConnectRequest // not yet returned
	frame      frame
}

// RecvMsg reads and checks frames, and delivers their messages; it returns the greeting.
func (g *guarded) RecvMsg(m any) error {
	for {
		if err := g.receive(); err != nil {
			return g.failed(err)
		}
		if g.greeting != nil && g.isAccepted {
			m.(*remote.RemoteMessage).MessageType = &remote.RemoteMessage_ConnectRequest{ConnectRequest: g.greeting}
			g.greeting = nil
			return nil
		}
	}
}

// receive handles a frame.
func (g *guarded) receive() error {
	if err := g.ServerStream.RecvMsg(&g.frame); err != nil {
		return err
	}
	defer g.frame.release()
	if g.frame.greeting != nil {
		return g.greet(g.frame.greeting)
	}
	return g.hear()
}

// failed says how the stream ends.
func (g *guarded) failed(err error) error {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return g.refused(r)
	case g.frame.refused != nil:
		return g.refused(g.frame.refused)
	case status.Code(err) == codes.ResourceExhausted: // the frame is longer than MaxRecvMsgSize
		return g.refused(refuse(RefusedLimit, "%v", err))
	case status.Code(err) == codes.Internal || status.Code(err) == codes.Unimplemented: // compressed, or torn by gRPC's measure
		return g.refused(refuse(RefusedMalformed, "%v", err))
	}
	return err
}

// refused counts and reports a refusal.
func (g *guarded) refused(r *refusal) error {
	t, level, code := g.transport, slog.LevelWarn, codes.InvalidArgument
	t.counters.refused[r.why].Add(1)
	switch r.why {
	case RefusedUnknownPeer:
		code = codes.PermissionDenied
	case RefusedCertificate:
		code = codes.Unauthenticated
	case RefusedConnection:
		code = codes.AlreadyExists
	case RefusedStranger:
		code = codes.Aborted
	case RefusedForNow:
		level, code = slog.LevelDebug, codes.Unavailable
	}
	if t.quiet.Allow(r.why.String()+hostOf(g.from), 1) {
		t.logger.Log(context.Background(), level, "refused a stream to the peer port",
			slog.Any("from", g.from), slog.String("claims", g.address),
			slog.String("reason", hush.Clip(r.Error())), slog.Uint64("so_far", t.counters.refused[r.why].Load()))
	}
	return status.Error(code, r.Error())
}

func hostOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

// greet checks the address that the greeting claims. Who is no peer must show more.
func (g *guarded) greet(greeting *remote.ConnectRequest) error {
	if g.address != "" {
		return refuse(RefusedNoGreeting, "a second greeting")
	}
	t, address := g.transport, greeting.GetServerConnection().GetAddress()
	isPeer := t.isPeer(address)
	if !isPeer && !t.mayMeet(address) {
		return t.unknown(address)
	}
	if info, ok := g.info.AuthInfo.(credentials.TLSInfo); ok && t.config.TLS != nil {
		if err := coversHost(info.State, address); err != nil {
			return refuse(RefusedCertificate, "the certificate is not that of %s: %v", address, err)
		}
	}
	g.address, g.greeting = address, greeting
	if isPeer {
		return g.accept()
	}
	return nil
}

// accept makes the connection that of the peer, or stranger.
func (g *guarded) accept() error {
	t := g.transport
	if !t.door.prove(g.info.conn, g.address) {
		return refuse(RefusedConnection, "connections in the name of %s are in use: only one node may have its address", g.address)
	}
	g.isAccepted = true
	if p := t.peer(g.address); p != nil {
		p.hurry()
	}
	return nil
}

// hear checks and delivers a batch.
func (g *guarded) hear() error {
	if g.address == "" {
		return refuse(RefusedNoGreeting, "messages before a greeting")
	}
	if err := g.checkBatch(g.frame.batch); err != nil {
		return err
	}
	if !g.isAccepted {
		if err := g.introduce(); err != nil {
			return err
		}
	}
	// A peer may have been removed while its stream was open; its connection is closed then, but that takes a moment.
	p := g.transport.peer(g.address)
	if p == nil {
		return g.transport.unknown(g.address)
	}
	l := p.life.Load()
	if l == nil {
		return g.transport.unknown(g.address)
	}
	if err := g.deliver(p, l.isStranger); err != nil {
		return err
	}
	g.info.conn.frame.Store(time.Now().UnixNano())
	return nil
}

// unknown is the answer to an address that is not a peer's now. It may have been one, or may become one.
func (t *Transport) unknown(address string) *refusal {
	switch {
	case t.stopping():
		return refuse(RefusedForNow, "this node stops")
	case t.config.Settling != nil && t.config.Settling():
		return refuse(RefusedForNow, "this node is starting and does not know all peers yet")
	}
	return refuse(RefusedUnknownPeer, "%.80q is not among the peers", address)
}

func coversHost(state tls.ConnectionState, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("there is none")
	}
	return state.PeerCertificates[0].VerifyHostname(host)
}

// checkBatch checks every index that deliver will use, and who may be mailed what. The decoder has checked the
// names of the types and the shape.
func (g *guarded) checkBatch(b *remote.MessageBatch) error {
	for _, s := range b.Senders {
		if s.Address != g.address {
			return refuse(RefusedForgedSender, "a sender at %.80q on the stream of %s", s.Address, g.address)
		}
	}
	for _, target := range b.Targets {
		if !g.transport.config.AllowTarget(target) {
			return refuse(RefusedTarget, "messages to %.80q", target)
		}
	}
	for _, e := range b.Envelopes {
		switch {
		case e.SerializerId != 0:
			return refuse(RefusedType, "serializer %d", e.SerializerId)
		case e.TypeId < 0 || int(e.TypeId) >= len(b.TypeNames):
			return refuse(RefusedMalformed, "type %d of %d", e.TypeId, len(b.TypeNames))
		case e.Target < 0 || int(e.Target) >= len(b.Targets):
			return refuse(RefusedMalformed, "target %d of %d", e.Target, len(b.Targets))
		case e.Sender < 0 || int(e.Sender) > len(b.Senders): // 0 is nobody
			return refuse(RefusedMalformed, "sender %d of %d", e.Sender, len(b.Senders))
		}
	}
	return nil
}
