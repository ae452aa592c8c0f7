package transport

import (
	"crypto/tls"
	"errors"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
)

// TLS is this node's side of mutual TLS 1.3, read from files, which a transport reads again when they change. It belongs to one
// transport. Safe for concurrent use.
//
// The host that a peer claims as its address must be among the names of the certificate that it shows, just as when it is dialed.
type TLS struct{ files *tlsfiles.Files }

// LoadTLS reads PEM files: this node's certificate (with intermediates), its key, and the authorities that sign the
// certificates of all nodes. A node shows the same certificate when it dials and when it is dialed, so the certificate needs
// both extended key usages (or none) and the host of the node's advertised address among its names. Certificates that are not
// valid now are an error.
func LoadTLS(certFile, keyFile, caFile string) (*TLS, error) {
	if certFile == "" || keyFile == "" || caFile == "" {
		return nil, errors.New("TLS between nodes needs three PEM files: a certificate, its key, and the authorities")
	}
	files, err := tlsfiles.Load(tlsfiles.Names{Certificate: certFile, Key: keyFile, Authorities: caFile})
	if err != nil {
		return nil, err
	}
	return &TLS{files}, nil
}

// server and client are the credentials for the next handshake; without TLS, plain text.
func (t *TLS) server() credentials.TransportCredentials {
	if t == nil {
		return insecure.NewCredentials()
	}
	content := t.files.Content()
	return credentials.NewTLS(&tls.Config{
		Certificates: content.Certificates, ClientCAs: content.Authorities, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, // every connection shows its certificate
	})
}

func (t *TLS) client() credentials.TransportCredentials {
	if t == nil {
		return insecure.NewCredentials()
	}
	content := t.files.Content()
	return credentials.NewTLS(&tls.Config{
		Certificates: content.Certificates, RootCAs: content.Authorities, MinVersion: tls.VersionTLS13,
	})
}

// check refuses what LoadTLS did not make.
func (t *TLS) check() error {
	if t != nil && t.files == nil {
		return errors.New("TLS needs certificates; LoadTLS reads them")
	}
	return nil
}
