//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for nodes on 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.write("ca.pem", "CERTIFICATE", a.sign(a.cert, a.key))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// flags are those of a node with a certificate of its own.
func (a *authority) flags(name string) []string {
	key := newKey(a.t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return []string{
		"--peer-cert", a.write(name+".pem", "CERTIFICATE", a.sign(template, key)),
		"--peer-key", a.write(name+".key", "PRIVATE KEY", der), "--peer-ca", filepath.Join(a.dir, "ca.pem"),
	}
}

// Nodes with certificates of one authority form a cluster; one with a certificate of another takes no part.
func TestTLS(t *testing.T) {
	t.Parallel()
	good, bad := newAuthority(t), newAuthority(t)
	c := newProcesses(t)
	plain := c.all[0].args
	for _, p := range c.all {
		p.args = append(p.args, good.flags(p.id)...)
		p.start()
	}
	c.awaitLeader()
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")

	p := c.all[0]
	for what, args := range map[string][]string{
		"another authority": append(plain[:len(plain):len(plain)], bad.flags(p.id)...),
		"no certificate":    plain,
	} {
		p.kill()
		p.args = args
		p.start()
		goal := c.awaitLeader().local().GetCommitIndex()
		if o := c.troupe("put", "k", "w", "--timeout", "20s"); o.code != 0 {
			t.Errorf("put with a majority of good nodes: %v", o)
		}
		time.Sleep(time.Second) // long enough to join: a node with the right certificate needs a tenth of that
		if m := p.local(); m.GetAppliedIndex() > goal || m.GetRole() == "leader" {
			t.Errorf("with %s: %v", what, m)
		}
		status := c.all[1].troupeStatus()
		if !strings.Contains(status, p.id) || strings.Contains(status, p.id+"    follower") {
			t.Errorf("with %s the node is taken for a follower:\n%s", what, status)
		}
	}
}

func (p *process) troupeStatus() string {
	return troupe(p.t, "", "status", "--endpoints", p.clients).out
}
