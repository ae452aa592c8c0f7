package cluster_test

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
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/messages"
)

// certificates writes a CA's certificate, and a certificate for the loopback address that it signed.
func certificates(t *testing.T) *cluster.TLS {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	nodeKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	until := time.Now().Add(time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	node := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key := must(x509.MarshalECPrivateKey(nodeKey))
	return &cluster.TLS{
		CAFile:   write("ca.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey))),
		CertFile: write("node.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, node, ca, &nodeKey.PublicKey, caKey))),
		KeyFile:  write("node.key", "EC PRIVATE KEY", key),
	}
}

func TestMutualTLSBetweenPeers(t *testing.T) {
	t.Parallel()
	ours, theirs := certificates(t), certificates(t)
	nodes := startProcesses(t, 3, func(s *nodeSpec) { s.Config.TLS = ours })
	if err := leader(t, nodes).puts(t, "k", "v"); err != nil {
		t.Fatal(err)
	}
	// A node whose certificate somebody else signed is not heard, whatever address it has.
	stranger := nodes[2].spec
	nodes[2].end()
	stranger.Config.TLS = theirs
	nodes[2] = startProcess(t, stranger)
	first := leader(t, nodes)
	r, err := first.status.Status(t.Context(), &messages.StatusRequest{})
	if err != nil || first == nodes[2] {
		t.Fatal(r, err)
	}
	for _, m := range r.GetMembers() {
		if m.GetReachable() == (m.GetId() == "n3") {
			t.Fatal(r)
		}
	}
}
