// Package tlsfiles reads certificates from PEM files, and reads them again when the files change.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Names are the names of files; an empty one is for no file.
type Names struct {
	// Certificate has a certificate (with intermediates) and Key its key: both or none.
	Certificate, Key string
	// Authorities has the certificates of those whose signatures count.
	Authorities string
}

func (n Names) all() [3]string { return [...]string{n.Certificate, n.Key, n.Authorities} }

// Files are files and what they held when they were last read well. Safe for concurrent use.
type Files struct {
	names   Names
	current atomic.Pointer[Content]
}

// Content is what the files held. Nobody changes it.
type Content struct {
	Certificates []tls.Certificate // one, or none without such a file
	Authorities  *x509.CertPool    // nil without such a file
	spans        []span
	infos        [3]os.FileInfo // of the files, as they were before they were read
}

// Load reads the files. Certificates that are not valid now are an error.
func Load(names Names) (*Files, error) {
	content, err := read(names, time.Now())
	if err != nil {
		return nil, err
	}
	f := &Files{names: names}
	f.current.Store(content)
	return f, nil
}

// Content is what is valid for the next handshake.
func (f *Files) Content() *Content { return f.current.Load() }

// read reads the files. A write meanwhile makes them look changed afterwards.
func read(names Names, now time.Time) (*Content, error) {
	c := new(Content)
	for i, name := range names.all() {
		c.infos[i], _ = os.Stat(name) // reading says what is wrong
	}
	if names.Certificate != "" || names.Key != "" {
		certificate, err := tls.LoadX509KeyPair(names.Certificate, names.Key)
		if err != nil {
			return nil, fmt.Errorf("the certificate %s and its key %s cannot be used; give PEM files that belong together: %w",
				names.Certificate, names.Key, err)
		}
		c.Certificates = []tls.Certificate{certificate}
		c.spans = append(c.spans, span{names.Certificate, certificate.Leaf.NotBefore, certificate.Leaf.NotAfter})
	}
	if names.Authorities != "" {
		pool, longest, err := readAuthorities(names.Authorities, now)
		if err != nil {
			return nil, err
		}
		c.Authorities, c.spans = pool, append(c.spans, longest)
	}
	for _, s := range c.spans {
		if err := s.check(now); err != nil {
			return nil, err
		}
	}
	return c, nil
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
			"give a PEM file with the authorities that sign the other side's certificates", file)
	}
	return pool, longest, nil
}
