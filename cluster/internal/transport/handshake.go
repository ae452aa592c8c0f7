package transport

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// A caller is the client's credentials. It uses those that are valid now, and reports handshakes that fail: gRPC tries again and tells
// nobody.
type caller struct {
	credentials.TransportCredentials // does whatever else gRPC asks for
	tls                              *TLS
}

// ClientHandshake does TLS, if any, on a connection that dialTCP made.
func (c caller) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, ok := raw.(outbound)
	if !ok {
		return nil, nil, errors.New("the connection was not dialed by the transport")
	}
	conn, info, err := c.tls.client().ClientHandshake(ctx, authority, raw)
	if err != nil {
		out.peer.troubled(tlsTrouble(err), err, ends(raw.LocalAddr(), raw.RemoteAddr())...)
		return nil, nil, err
	}
	return &fresh{Conn: conn, peer: out.peer, isTLS: c.tls != nil}, info, nil
}

func (c caller) Clone() credentials.TransportCredentials { return c }

// A fresh connection looks at what is read first. In TLS 1.3 the other side refuses this node's certificate after the handshake, and a
// TLS port answers plain text with an alert or with nothing.
type fresh struct {
	net.Conn
	peer    *peer
	isTLS   bool
	isHeard bool // something was read; only gRPC's reader uses it
}

// TLS records, by their first byte.
const (
	recordAlert     = 0x15
	recordHandshake = 0x16
)

func (f *fresh) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if f.isHeard {
		return n, err
	}
	f.isHeard = true
	switch {
	case !f.isTLS && n > 0 && b[0] == recordAlert:
		f.peer.troubled(troubleSecret, errors.New("it answered with a TLS alert"), ends(f.LocalAddr(), f.RemoteAddr())...)
	case err != nil:
		f.peer.troubled(tlsTrouble(err), err, ends(f.LocalAddr(), f.RemoteAddr())...)
	}
	return n, err
}
