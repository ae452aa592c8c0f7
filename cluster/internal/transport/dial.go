package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

const (
	connectEvery     = 300 * time.Millisecond  // another TCP connection is tried beside those that are pending
	connectTimeout   = 1500 * time.Millisecond // for all of them together: enough for far links
	refusedPause     = 75 * time.Millisecond   // after a refused connection
	handshakeTimeout = 2 * time.Second         // for TLS and HTTP/2, and again for ConnectRequest and its answer
	retryFirst       = 50 * time.Millisecond   // between refused handshakes, doubling
	retryMost        = time.Second
	laterMost        = 250 * time.Millisecond // when the peer only asked to be tried again
	hurryEvery       = tick                   // between two greetings that end a pause, since each costs a connection
	unackedTimeout   = time.Second            // the kernel gives a connection up when the peer acknowledges nothing for so long
	answerBytes      = 64 << 10               // the longest frame that a peer may answer with
	headerBytes      = 16 << 10
)

// Why the connections to a peer are given up.
var (
	errNoPeer   = errors.New("it is not a peer any more")
	errStopping = errors.New("this node stops")
)

func (t *Transport) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(caller{t.config.TLS.client(), t.config.TLS}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 20 * time.Millisecond, Multiplier: 1.3, Jitter: 0.2, MaxDelay: 100 * time.Millisecond,
			},
			MinConnectTimeout: connectTimeout + handshakeTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: time.Second, PermitWithoutStream: true}),
		grpc.WithContextDialer(t.dialTCP),
		grpc.WithResolvers(plainResolver{resolver.Get("passthrough")}),
		grpc.WithStreamInterceptor(t.openStream),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(t.config.MaxMessageBytes), grpc.MaxCallRecvMsgSize(answerBytes),
			grpc.ForceCodecV2(newLetterCodec())),
		grpc.WithMaxHeaderListSize(headerBytes),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(answerBytes),
		grpc.WithStaticConnWindowSize(answerBytes),
		grpc.WithReadBufferSize(4 << 10),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithUserAgent("troupe"),
	}
}

// plainResolver hands addresses to the dialer as they are. gRPC's own resolver asks for a name again after 30 seconds at the
// soonest, and would find a peer that restarts elsewhere that late. plainResolver has the scheme that plain addresses default to.
type plainResolver struct{ resolver.Builder }

func (plainResolver) Scheme() string { return "dns" }

// dialTCP makes a TCP connection. While nothing comes back it asks again and again: the kernel would repeat itself after one,
// three and seven seconds, and find out late that a link has healed. After a refusal dialTCP waits, and the peer's own greeting
// can end the wait: gRPC's ResetConnectBackoff ranges over a map that is being written, which is fatal.
func (t *Transport) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	p := t.peer(address)
	if p == nil || !p.known() {
		return nil, fmt.Errorf("%s is not a peer", address)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	dial := func() {
		d := net.Dialer{Control: controlSocket}
		c, err := d.DialContext(ctx, "tcp", address)
		select {
		case results <- result{c, err}:
		case <-ctx.Done():
			if c != nil {
				_ = c.Close()
			}
		}
	}
	again := time.NewTicker(connectEvery)
	defer again.Stop()
	go dial()
	last := fmt.Errorf("%s does not answer", address)
	var refused <-chan time.Time
	for {
		select {
		case r := <-results:
			if r.err == nil {
				return outbound{r.conn, p}, nil
			}
			last = r.err
			p.fail(last)
			refused = time.After(refusedPause)
		case <-refused:
			refused = nil
			go dial()
		case <-p.wake:
			go dial()
		case <-again.C:
			if refused == nil {
				go dial()
			}
		case <-ctx.Done():
			p.fail(last)
			return nil, last
		}
	}
}

// An outbound connection counts the bytes that it wrote: that tells a slow peer from a stuck one.
type outbound struct {
	net.Conn
	peer *peer
}

func (c outbound) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.peer.written.Add(uint64(n))
	return n, err
}

// openStream is the client's stream interceptor. An endpoint writer calls it once; it returns when the peer is connected, and
// fails only when the address is no peer's any more or the transport is shut down.
func (t *Transport) openStream(
	_ context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	p := t.peer(conn.Target())
	if p == nil {
		return nil, status.Errorf(codes.Unavailable, "%s is not a peer", conn.Target())
	}
	p.dials.Add(1)
	defer p.dials.Add(-1)

	// A peer that accepts and leaves at once must not be dialed in a storm.
	time.Sleep(time.Until(time.Unix(0, p.connected.Load()).Add(tick)))
	opts = append(opts, grpc.WaitForReady(true))
	for pause := retryFirst; ; pause *= 2 {
		life := p.life.Load()
		if life == nil {
			return nil, status.Errorf(codes.Unavailable, "%s is not a peer any more", p.address)
		}
		ctx, cancel := context.WithCancel(life.ctx)
		stream, response, err := t.greet(ctx, cancel, p, func() (grpc.ClientStream, error) {
			return streamer(ctx, desc, conn, method, opts...)
		})
		if err == nil {
			l := &link{ClientStream: stream, peer: p, conn: conn, cancel: cancel, response: response, queue: newQueue()}
			l.begin()
			if life.ctx.Err() != nil { // ended meanwhile, perhaps before anybody could see the link
				l.end(context.Cause(life.ctx))
			}
			return l, nil
		}
		cancel()
		w := greetTrouble(err)
		p.troubled(w, err)
		if pause = min(pause, retryMost); w == troubleLater {
			pause = min(pause, laterMost)
		}
		select {
		case <-life.ctx.Done():
		case <-p.wake:
		case <-time.After(pause):
		}
	}
}

// greet opens a stream and exchanges ConnectRequest for its answer. Opening may take for ever, the exchange may not.
func (t *Transport) greet(
	ctx context.Context, cancel context.CancelFunc, p *peer, open func() (grpc.ClientStream, error),
) (grpc.ClientStream, *remote.RemoteMessage, error) {
	stream, err := open()
	if err != nil {
		return nil, nil, err
	}
	late := time.AfterFunc(handshakeTimeout, cancel)
	greeting := &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{
			MemberId: t.system.ID, Address: t.address}}}}}
	answer := new(remote.RemoteMessage)
	if err = stream.SendMsg(greeting); err == nil {
		// The peer keeps a connection that works when another comes in this node's name. A frame shows that this one works. A peer that
		// does not know this node sees there that it knows the cluster, before it answers.
		err = stream.SendMsg(p.shown())
	}
	if recvErr := stream.RecvMsg(answer); recvErr != nil {
		err = recvErr // says why the stream ended, where SendMsg says only EOF
	}
	if err == nil && (answer.GetConnectResponse() == nil || answer.GetConnectResponse().Blocked) {
		err = errors.New("the peer answered the greeting with something else than its consent")
	}
	if !late.Stop() && err == nil {
		err = ctx.Err()
	}
	return stream, answer, err
}

// hurry makes a pending dial try at once, since the peer was heard of. Anybody can claim that, so it is done once per hurryEvery.
func (p *peer) hurry() {
	now, last := time.Now().UnixNano(), p.hurried.Load()
	if p.link.Load() != nil || time.Duration(now-last) < hurryEvery || !p.hurried.CompareAndSwap(last, now) {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
