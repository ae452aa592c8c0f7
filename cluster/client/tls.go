package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
)

// LoadTLS reads PEM files for [WithTLS], once: the authorities that sign the nodes' certificates, and the certificate that the client
// shows, with its key. An empty caFile means the authorities that the system trusts; without certFile and keyFile the client shows none.
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	if (certFile == "") != (keyFile == "") {
		return nil, errors.New("a certificate and its key go together: give both files, or none")
	}
	files, err := tlsfiles.Load(tlsfiles.Names{Certificate: certFile, Key: keyFile, Authorities: caFile})
	if err != nil {
		return nil, err
	}
	content := files.Content()
	return &tls.Config{RootCAs: content.Authorities, Certificates: content.Certificates}, nil
}

// handshakeTimeout is longer than dialTimeout: both sides compute.
const handshakeTimeout = 2 * time.Second

// secureDialer dials with TLS and HTTP/2.
type secureDialer struct{ config *tls.Config }

func (d secureDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.config.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, handshakeError(address, err)
	}
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		_ = conn.Close()
		return nil, &tlsError{address, errNoHTTP2}
	}
	return secure, nil
}

func handshakeError(address string, err error) error {
	var network net.Error
	if errors.Is(err, io.EOF) || errors.As(err, &network) && !isAlert(err) {
		return &dialError{address, fmt.Errorf("the TLS handshake broke off: %w", err)}
	}
	return &tlsError{address, err}
}

// tlsError proves that a request was not done: the two sides did not come to terms about TLS.
type tlsError struct {
	address string
	cause   error
}

var (
	errNoHTTP2  = errors.New("it speaks no HTTP/2")
	errNeedsTLS = errors.New("it demands TLS")
)

func (e *tlsError) Unwrap() error { return e.cause }

func (e *tlsError) Error() string {
	var plain tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch cause := e.cause; {
	case errors.Is(cause, errNeedsTLS):
		return e.address + " speaks TLS, and this client does not: give it the authority that signed the node's certificate " +
			"(WithTLS, or --cacert)"
	case errors.As(cause, &plain):
		return e.address + " speaks no TLS, and this client does: leave TLS out (WithTLS, or --cacert), or give the node a certificate"
	case errors.As(cause, new(x509.UnknownAuthorityError)):
		return "the certificate of " + e.address + " is signed by no authority that this client trusts: give the one that signed it"
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of " + e.address + " has expired or is not valid yet, by this machine's clock: give the node a new one"
	case errors.As(cause, &name):
		return fmt.Sprintf("the certificate of %s does not name %s: give the node one that does, or use an address that it names",
			e.address, name.Host)
	case isAlert(cause) && strings.Contains(cause.Error(), "certificate required"):
		return e.address + " serves only clients with a certificate: give one that its authority signed, and the key"
	case isAlert(cause):
		return fmt.Sprintf("%s refuses this client (%v): give a valid certificate that its authority signed, and the key", e.address, cause)
	}
	return fmt.Sprintf("%s and this client cannot speak TLS with each other: %v", e.address, e.cause)
}

// isAlert says that the other side said what displeases it.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// refusesCertificate says that the other side refused this one's certificate. In TLS 1.3 that comes after this side's handshake, in the
// place of an answer. No request was read by then.
func refusesCertificate(err error) bool {
	return isAlert(err) && strings.Contains(err.Error(), "certificate")
}

// plainConn is a connection without TLS, which looks at what it reads first.
type plainConn struct {
	net.Conn
	address string
	heard   bool // something was read; only the transport's reader uses it
}

func (c *plainConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if first := !c.heard && n > 0; first && demandsTLS(b[:n]) {
		return 0, &tlsError{c.address, errNeedsTLS}
	}
	c.heard = c.heard || n > 0
	return n, err
}

// demandsTLS knows a TLS alert, and HTTP/2's empty SETTINGS and GOAWAY for want of security, with which a node answers.
func demandsTLS(first []byte) bool {
	const alert, frameBytes, goAway, inadequateSecurity = 0x15, 9, 7, 0xc
	if first[0] == alert {
		return true
	}
	return len(first) >= 2*frameBytes+8 && first[2] == 0 && first[frameBytes+3] == goAway && first[2*frameBytes+7] == inadequateSecurity
}
