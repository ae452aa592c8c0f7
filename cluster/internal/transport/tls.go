package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TLS holds the two halves of mutual TLS. Start copies both and raises them to TLS 1.3 with client certificates.
//
// Unless Client.ServerName is set, the host that a peer claims as its address must be among the names of the certificate that
// it shows, just as when it is dialed.
type TLS struct {
	Server *tls.Config // Certificates and ClientCAs are required
	Client *tls.Config // Certificates and RootCAs are required
}

// LoadTLS reads PEM files: this node's certificate (with intermediates), its key, and the authorities that sign the
// certificates of all nodes. A node shows the same certificate when it dials and when it is dialed, so the certificate needs
// both extended key usages (or none) and the host of the node's advertised address among its names.
func LoadTLS(certFile, keyFile, caFile string) (*TLS, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and its key %s cannot be used; give PEM files that belong together: %w", certFile, keyFile, err)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate authorities cannot be read; give a PEM file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate; give a PEM file with the authorities that sign the nodes' certificates", caFile)
	}
	return &TLS{
		Server: &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13},
		Client: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: pool, MinVersion: tls.VersionTLS13},
	}, nil
}

// credentials returns the server's and the client's side; t may be nil for plaintext.
func (t *TLS) credentials() (server, client credentials.TransportCredentials, err error) {
	if t == nil {
		return insecure.NewCredentials(), insecure.NewCredentials(), nil
	}
	if t.Server == nil || t.Client == nil {
		return nil, nil, errors.New("TLS needs both a server and a client configuration; LoadTLS makes both")
	}
	if t.Server.ClientCAs == nil || t.Client.RootCAs == nil {
		return nil, nil, errors.New("TLS needs the authorities of the peers in Server.ClientCAs and in Client.RootCAs")
	}
	if t.Client.InsecureSkipVerify {
		return nil, nil, errors.New("TLS with InsecureSkipVerify would trust anybody; give certificates that name the nodes' hosts, or set Client.ServerName")
	}
	s, c := t.Server.Clone(), t.Client.Clone()
	s.MinVersion, c.MinVersion = tls.VersionTLS13, tls.VersionTLS13
	s.ClientAuth = tls.RequireAndVerifyClientCert
	return credentials.NewTLS(s), credentials.NewTLS(c), nil
}
