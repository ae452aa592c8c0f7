package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// dialTimeout is short: a host that does not answer must not use up the time in which another one could.
const dialTimeout = 300 * time.Millisecond

// server is one address that the client knows. It is safe for concurrent use.
type server struct {
	address string
	cluster messagesconnect.ClusterClient
	// exchange takes what it sends from an outbound.
	exchange *connect.Client[none, inbound]
	// stream is the newest one to this server, or nil.
	stream atomic.Pointer[stream]
	// heard is when the server last answered anything, in nanoseconds since 1970.
	heard atomic.Int64
	// stranger is true once the address has shown that it is no client port, or none that this client can speak to, until it answers.
	stranger atomic.Bool
	// probing is true while a suspect is asked in the background for a sign of life.
	probing atomic.Bool
}

func newServer(address, scheme string, client *http.Client) *server {
	noGzip := connect.WithAcceptCompression("gzip", nil, nil) // values are small and the network is near
	base := scheme + "://" + address
	exchange := base + messagesconnect.GroupExchangeProcedure
	return &server{
		address:  address,
		cluster:  messagesconnect.NewClusterClient(client, base, noGzip),
		exchange: connect.NewClient[none, inbound](client, exchange, noGzip, connect.WithCodec(inboundCodec{})),
	}
}

// none is no message.
type none struct{}

func (s *server) answered() {
	s.heard.Store(time.Now().UnixNano())
	s.stranger.Store(false)
}

func (s *server) answeredWithin(d time.Duration) bool {
	return time.Now().UnixNano()-s.heard.Load() < int64(d)
}

// secureConns is how many connections to a server may be made at a time. Without a bound each caller that comes before the first handshake
// is done makes one. They carry more requests than a node takes.
const secureConns = 16

// newTransport speaks HTTP/2, with TLS or without, and keeps its connections. Pings end connections whose other end is gone silently.
func newTransport(config *tls.Config) (transport *http.Transport, scheme string) {
	transport = &http.Transport{
		Protocols:       new(http.Protocols),
		IdleConnTimeout: 90 * time.Second,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second},
	}
	if config == nil {
		transport.Protocols.SetUnencryptedHTTP2(true)
		transport.DialContext = dialPlain
		return transport, "http"
	}
	transport.Protocols.SetHTTP2(true)
	transport.MaxConnsPerHost = secureConns
	transport.DialTLSContext = secureDialer{config}.dial
	return transport, "https"
}

// clientPorts ends requests to peer ports, which gRPC answers in its own way, and says who refuses this client's certificate.
type clientPorts struct{ http.RoundTripper }

func (c clientPorts) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(withOutbound(r))
	if err != nil && refusesCertificate(err) {
		return nil, &tlsError{r.URL.Host, err}
	}
	if err == nil && response.StatusCode == http.StatusUnsupportedMediaType && response.Header.Get("Content-Type") == "application/grpc" {
		_ = response.Body.Close()
		return nil, &peerPortError{r.URL.Host}
	}
	return response, err
}

// peerPortError proves that a request was not done.
type peerPortError struct{ address string }

func (e *peerPortError) Error() string {
	return e.address + " is a peer port, where only nodes talk to each other: give the node's client address instead"
}

// dialError proves that a request was not sent.
type dialError struct {
	address string
	cause   error
}

func (e *dialError) Unwrap() error { return e.cause }
func (e *dialError) Error() string {
	var timeout net.Error
	switch {
	case errors.Is(e.cause, syscall.ECONNREFUSED):
		return "nobody listens there"
	case errors.As(e.cause, &timeout) && timeout.Timeout():
		return "cannot connect in time"
	}
	return "cannot connect to " + e.address + ": " + e.cause.Error()
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &dialError{address, err}
	}
	return conn, nil
}

func dialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &plainConn{Conn: conn, address: address}, nil
}
