package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TLS is this node's side of mutual TLS 1.3, read from files, which a transport reads again when they change. It belongs to one
// transport. Safe for concurrent use.
//
// The host that a peer claims as its address must be among the names of the certificate that it shows, just as when it is dialed.
type TLS struct {
	files   [3]string // certificate, key, authorities
	current atomic.Pointer[identity]
}

// An identity is what the files held.
type identity struct {
	server, client credentials.TransportCredentials
	spans          []span
	files          [3]os.FileInfo // as they were before they were read
}

// A span is how long the certificates of a file are valid.
type span struct {
	file        string
	from, until time.Time
}

// LoadTLS reads PEM files: this node's certificate (with intermediates), its key, and the authorities that sign the
// certificates of all nodes. A node shows the same certificate when it dials and when it is dialed, so the certificate needs
// both extended key usages (or none) and the host of the node's advertised address among its names. Certificates that are not
// valid now are an error.
func LoadTLS(certFile, keyFile, caFile string) (*TLS, error) {
	t := &TLS{files: [3]string{certFile, keyFile, caFile}}
	i, err := t.read(time.Now())
	if err != nil {
		return nil, err
	}
	t.current.Store(i)
	return t, nil
}

// read reads the files. A write meanwhile makes them look changed afterwards.
func (t *TLS) read(now time.Time) (*identity, error) {
	var files [3]os.FileInfo
	for i, name := range t.files {
		files[i], _ = os.Stat(name) // reading says what is wrong
	}
	certFile, keyFile, caFile := t.files[0], t.files[1], t.files[2]
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and its key %s cannot be used; give PEM files that belong together: %w",
			certFile, keyFile, err)
	}
	pool, authorities, err := readAuthorities(caFile, now)
	if err != nil {
		return nil, err
	}
	i := newIdentity(certificate, pool)
	i.files, i.spans = files, []span{{certFile, certificate.Leaf.NotBefore, certificate.Leaf.NotAfter}, authorities}
	for _, s := range i.spans {
		if err := s.check(now); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// readAuthorities also returns the span of the authority that lasts longest. Authorities that are valid now come first: others may be
// old ones, or the next ones.
func readAuthorities(file string, now time.Time) (*x509.CertPool, span, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, span{}, fmt.Errorf("the certificate authorities cannot be read; give a PEM file: %w", err)
	}
	pool, longest := x509.NewCertPool(), span{file: file}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		pool.AddCert(c)
		if s := (span{file, c.NotBefore, c.NotAfter}); s.outlasts(longest, now) {
			longest = s
		}
	}
	if longest.until.IsZero() {
		return nil, span{}, fmt.Errorf("%s holds no certificate; "+
			"give a PEM file with the authorities that sign the nodes' certificates", file)
	}
	return pool, longest, nil
}

// outlasts prefers what is valid now.
func (s span) outlasts(o span, now time.Time) bool {
	if valid, other := s.check(now) == nil, !o.until.IsZero() && o.check(now) == nil; valid != other {
		return valid
	}
	return s.until.After(o.until)
}

func newIdentity(certificate tls.Certificate, authorities *x509.CertPool) *identity {
	certificates := []tls.Certificate{certificate}
	return &identity{
		server: credentials.NewTLS(&tls.Config{
			Certificates: certificates, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
			SessionTicketsDisabled: true, // every connection shows its certificate
		}),
		client: credentials.NewTLS(&tls.Config{Certificates: certificates, RootCAs: authorities, MinVersion: tls.VersionTLS13}),
	}
}

func (s span) check(now time.Time) error {
	if now.After(s.until) {
		return fmt.Errorf("the certificate in %s expired on %s: give one that is valid", s.file, date(s.until))
	}
	if now.Before(s.from) {
		return fmt.Errorf("the certificate in %s is not valid before %s: give one that is valid, or check this machine's clock",
			s.file, date(s.from))
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// server and client are the credentials for the next handshake; without TLS, plain text.
func (t *TLS) server() credentials.TransportCredentials {
	if t == nil {
		return insecure.NewCredentials()
	}
	return t.current.Load().server
}

func (t *TLS) client() credentials.TransportCredentials {
	if t == nil {
		return insecure.NewCredentials()
	}
	return t.current.Load().client
}

// check refuses what LoadTLS did not make.
func (t *TLS) check() error {
	if t != nil && t.current.Load() == nil {
		return errors.New("TLS needs certificates; LoadTLS reads them")
	}
	return nil
}
