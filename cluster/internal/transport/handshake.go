package transport

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// A caller is the client's credentials: those that are valid now, and somebody who says when they fail. gRPC tells nobody, as it tries
// again.
type caller struct {
	credentials.TransportCredentials // for what gRPC asks besides
	tls                              *TLS
}

// ClientHandshake does TLS, if any, on a connection of dialTCP's.
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

// A fresh connection has not been heard yet. In TLS 1.3 the other side's verdict on this node's certificate follows the handshake, and
// who speaks plain text to a TLS port gets an alert or nothing.
type fresh struct {
	net.Conn
	peer    *peer
	isTLS   bool
	isHeard bool // of gRPC's reader
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
