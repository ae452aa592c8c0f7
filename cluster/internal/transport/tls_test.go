package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/loopback"
)

// An authority signs certificates for tests.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

const quarter = 90 * 24 * time.Hour

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(quarter),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(file, kind string, der []byte) string {
	path := filepath.Join(a.dir, file)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue returns the files of a certificate for a host, as LoadTLS takes them.
func (a *authority) issue(host string) []string { return a.issueFor(host, -time.Hour, quarter) }

// issueFor issues a certificate that is valid from and until so much later than now.
func (a *authority) issueFor(host string, from, until time.Duration) []string {
	key, now := newKey(a.t), time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(from), NotAfter: now.Add(until)}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	file := fmt.Sprint(host, "-", template.SerialNumber)
	return []string{
		a.write(file+".pem", "CERTIFICATE", der),
		a.write(file+".key", "EC PRIVATE KEY", secret),
		filepath.Join(a.dir, "ca.pem"),
	}
}

func mustLoad(t testing.TB, files []string) *TLS {
	t.Helper()
	c, err := LoadTLS(files[0], files[1], files[2])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// config is for raw connections, of either side.
func config(t testing.TB, files []string) *tls.Config {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	pool, _, err := readAuthorities(files[2], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"}, ServerName: "127.0.0.1",
	}
}

func TestMutualTLS(t *testing.T) {
	if !isolate(t) {
		return
	}
	ours, theirs := newAuthority(t), newAuthority(t)
	node := ours.issue("127.0.0.1")
	other := loopback.FreeAddress(t)
	cfg := testConfig(t, "127.0.0.1:0", other)
	cfg.TLS = mustLoad(t, node)
	system, tr := start(t, cfg)
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}, TLS: node})
	askUntilAnswered(t, system, other, 5*time.Second)

	client := func(files []string, change func(*tls.Config)) *tls.Config {
		c := config(t, files)
		c.RootCAs = config(t, node).RootCAs
		if change != nil {
			change(c)
		}
		return c
	}
	// greets reports how the server takes a greeting over such a connection.
	greets := func(option grpc.DialOption, address string) error {
		conn, err := grpc.NewClient(tr.Address(), option)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s, err := remote.NewRemotingClient(conn).Receive(t.Context())
		if err != nil {
			return err
		}
		_ = s.Send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
			ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{Address: address}}}}})
		_, err = s.Recv()
		return err
	}
	secure := func(c *tls.Config) grpc.DialOption { return grpc.WithTransportCredentials(credentials.NewTLS(c)) }
	if err := greets(secure(client(node, nil)), other); err != nil {
		t.Errorf("a proper certificate was refused: %v", err)
	}
	for what, c := range map[string]*tls.Config{
		"no certificate":         client(node, func(c *tls.Config) { c.Certificates = nil }),
		"another authority":      client(theirs.issue("127.0.0.1"), nil),
		"TLS 1.2":                client(node, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }),
		"their authority for us": client(node, func(c *tls.Config) { c.RootCAs = config(t, theirs.issue("127.0.0.1")).RootCAs }),
	} {
		if err := greets(secure(c), other); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: the connection ended with %v", what, err)
		}
	}
	err := greets(secure(client(ours.issue("n9"), nil)), other)
	if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another node's certificate: %v", err)
	}
	plain := attackRaw(t, tr.Address())
	if _, err := io.Copy(io.Discard, plain); err != nil {
		t.Logf("plaintext: %v", err)
	}
	if n := tr.Stats().Refused[RefusedHandshake]; n < 4 {
		t.Errorf("%d failed handshakes were counted", n)
	}
	askUntilAnswered(t, system, other, 2*time.Second)
}

// attackRaw speaks plaintext HTTP/2.
func attackRaw(t testing.TB, address string) net.Conn {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	_ = c.SetReadDeadline(time.Now().Add(2 * unprovenTime))
	return c
}

func TestLoadTLSExplainsItself(t *testing.T) {
	a := newAuthority(t)
	good, other := a.issue("n1"), a.issue("n2")
	for what, files := range map[string][]string{
		"no certificate":    {filepath.Join(a.dir, "none"), good[1], good[2]},
		"another key":       {good[0], other[1], good[2]},
		"no authorities":    {good[0], good[1], filepath.Join(a.dir, "none")},
		"empty authorities": {good[0], good[1], good[1]},
	} {
		if _, err := LoadTLS(files[0], files[1], files[2]); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}

// The next authority may be in the file before it is valid, and the last one after.
func TestTheAuthorityThatIsValidCounts(t *testing.T) {
	now := time.Now()
	old := span{until: now.Add(-time.Hour)}
	present := span{from: now.Add(-time.Hour), until: now.Add(time.Hour)}
	next := span{from: now.Add(time.Minute), until: now.Add(1000 * time.Hour)}
	for _, order := range [][]span{{old, present, next}, {next, present, old}, {present, next, old}} {
		var best span
		for _, s := range order {
			if s.outlasts(best, now) {
				best = s
			}
		}
		if best != present {
			t.Errorf("%v counts", best)
		}
	}
}
