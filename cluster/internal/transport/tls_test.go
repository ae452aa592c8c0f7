package transport

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
)

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
	authorities, err := tlsfiles.Load(tlsfiles.Names{Authorities: files[2]})
	if err != nil {
		t.Fatal(err)
	}
	pool := authorities.Content().Authorities
	return &tls.Config{
		Certificates: []tls.Certificate{certificate}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"}, ServerName: "127.0.0.1",
	}
}

func TestMutualTLS(t *testing.T) {
	if !isolate(t) {
		return
	}
	ours, theirs := testca.New(t), testca.New(t)
	node := ours.Issue("127.0.0.1")
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
		"another authority":      client(theirs.Issue("127.0.0.1"), nil),
		"TLS 1.2":                client(node, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }),
		"their authority for us": client(node, func(c *tls.Config) { c.RootCAs = config(t, theirs.Issue("127.0.0.1")).RootCAs }),
	} {
		if err := greets(secure(c), other); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: the connection ended with %v", what, err)
		}
	}
	err := greets(secure(client(ours.Issue("n9"), nil)), other)
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

func TestTLSNeedsAllFiles(t *testing.T) {
	files := testca.New(t).Issue("n1")
	for i := range files {
		missing := slices.Clone(files)
		missing[i] = ""
		if _, err := LoadTLS(missing[0], missing[1], missing[2]); err == nil || !strings.Contains(err.Error(), "needs three PEM files") {
			t.Errorf("without the one of %v: %v", files[i], err)
		}
	}
}

// Both sides use new certificates and authorities without a restart.
func TestNewCertificatesAreUsed(t *testing.T) {
	if !isolate(t) {
		return
	}
	const host = "127.0.0.1"
	ours, theirs := testca.New(t), testca.New(t)
	files, next := ours.Issue(host), theirs.Issue(host)
	old, fresh := config(t, ours.Issue(host)), config(t, next)
	dialed := make(chan bool, 100)
	peer := serveRaw(t, func(raw net.Conn) {
		c := tls.Server(raw, fresh)
		dialed <- c.Handshake() == nil
	})
	c := testConfig(t, host+":0", peer)
	c.TLS = mustLoad(t, files)
	_, tr := start(t, c)
	// accepted says whether a client's certificate and its authorities suit the node.
	accepted := func(c *tls.Config) bool {
		conn, err := tls.Dial("tcp", tr.Address(), c)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err = conn.Read(make([]byte, 1)) // the server's settings, or its refusal
		return err == nil
	}
	if !accepted(old) || accepted(fresh) || <-dialed {
		t.Fatal("before the files change")
	}
	for i := range files {
		testca.Replace(t, files[i], next[i])
	}
	eventually(t, 4*time.Second, "the new ones are accepted", func() bool { return accepted(fresh) })
	if accepted(old) {
		t.Error("the old ones are still accepted")
	}
	eventually(t, 4*time.Second, "the new ones are shown", func() bool { return <-dialed })
}
