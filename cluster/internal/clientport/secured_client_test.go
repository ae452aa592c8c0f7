package clientport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/messages"
)

// What keeps a client and a port apart is said in a sentence, soon, and whatever the race between a refusal and a request.
func TestTheClientSaysWhatIsWrongWithTLS(t *testing.T) {
	const host = "127.0.0.1"
	ours, theirs := testca.New(t), testca.New(t)
	node, foreign := ours.Issue(host), theirs.Issue("client")
	none := slog.New(slog.DiscardHandler)
	open := securedPort(t, loadFiles(t, node[0], node[1], ""), Limits{}, none).Address()
	closed := securedPort(t, loadFiles(t, node[0], node[1], node[2]), Limits{}, none).Address()
	plain := served(t, &testNode{}).Address()
	trusts := trusting(t, node[2], "", "")
	for _, c := range []struct {
		what    string
		address string
		config  *tls.Config
		want    string
	}{
		{"TLS and none", open, nil, "speaks TLS, and this client does not"},
		{"none and TLS", plain, trusts, "speaks no TLS, and this client does"},
		{"another authority", open, trusting(t, foreign[2], "", ""), "signed by no authority that this client trusts"},
		{"another name", shows(t, ours.Issue("n9")), trusts, "does not name 127.0.0.1"},
		{"expired", shows(t, ours.IssueFor(host, -2*time.Hour, -time.Hour)), trusts, "has expired or is not valid yet"},
		{"no certificate", closed, trusts, "serves only clients with a certificate"},
		{"a stranger's certificate", closed, trusting(t, node[2], foreign[0], foreign[1]), "refuses this client (remote error: tls: "},
	} {
		for range 3 {
			k := client.New([]string{c.address}, client.WithTLS(c.config))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			began := time.Now()
			_, put := k.Put(ctx, "k", nil)
			_, _, _, get := k.Get(ctx, "k")
			_, status := k.Status(ctx)
			for what, err := range map[string]error{"put": put, "get": get, "status": status} {
				if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), c.want) ||
					!strings.Contains(err.Error(), c.address) {
					t.Errorf("%s, %s: %v", c.what, what, err)
				}
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %v to say so", c.what, took)
			}
			cancel()
			k.Close()
		}
	}
}

// shows is the address of a server that has a certificate, and may show one that no node would start with.
func shows(t *testing.T, files []string) string {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}).Handshake()
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// mapDoor is that of a group with an empty map; elsewhere is the client address of its leader, or empty.
type mapDoor struct {
	*testDoor
	elsewhere string
}

func newMapDoor(elsewhere string) mapDoor {
	d := newTestDoor()
	d.status.ClientAddress = elsewhere
	return mapDoor{d, elsewhere}
}

func (d mapDoor) answer(value []byte, caller actors.Caller) {
	a := actors.Answer{Index: 1, Value: value}
	if d.elsewhere != "" {
		a = actors.Answer{Err: &actors.NotLeaderError{LeaderID: "n1", ClientAddress: d.elsewhere}}
	}
	caller.Answer(a)
}

func (d mapDoor) ProposeIn(_ messages.SessionCommand, _ []byte, caller actors.Caller) {
	d.answer([]byte{1, 1}, caller)
}

func (d mapDoor) Read(_ actors.Read, _ []byte, caller actors.Caller) { d.answer([]byte{0, 0}, caller) }

// mapNode has a group with an empty map.
func mapNode(elsewhere string) *testNode {
	return &testNode{groups: []string{"g"}, group: testGroup{door: newMapDoor(elsewhere)}}
}

// A client leaves a node alone whose certificate is wrong, and comes back when it has another.
func TestANodeWithAnotherCertificateIsAskedAgain(t *testing.T) {
	t.Parallel()
	ours, theirs := testca.New(t), testca.New(t)
	files, next := theirs.Issue("127.0.0.1"), ours.Issue("127.0.0.1")
	none := slog.New(slog.DiscardHandler)
	leader := securedPort(t, loadFiles(t, files[0], files[1], ""), Limits{}, none)
	limits := Limits{}
	limits.SetDefaults()
	follower, err := Listen(Config{
		Listen: "127.0.0.1:0", Public: "127.0.0.1:0", TLS: loadFiles(t, next[0], next[1], ""), Limits: limits, Logger: none,
	}, mapNode(leader.Address()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(follower.Close)
	follower.Serve()

	k := client.New([]string{leader.Address(), follower.Address()}, client.WithTLS(trusting(t, next[2], "", "")))
	defer k.Close()
	put := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := k.Put(ctx, "k", nil)
		return err
	}
	if err := put(); !errors.Is(err, client.ErrUnavailable) {
		t.Fatal(err)
	}
	testca.Replace(t, files[0], next[0])
	testca.Replace(t, files[1], next[1])
	eventually(t, "it is served", func() bool { return put() == nil })
}

// Callers that come at once do not make a connection each.
func TestCallersShareSecureConnections(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	p := securedPort(t, loadFiles(t, files[0], files[1], ""), Limits{}, slog.New(slog.DiscardHandler))
	k := client.New([]string{p.Address()}, client.WithTLS(trusting(t, files[2], "", "")))
	defer k.Close()
	for range 3 {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, _, _, err := k.Get(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := p.limiter.connections.size - p.limiter.connections.left(); n > 16 {
			t.Errorf("%d connections", n)
		}
		p.listener.cut() // and they are made anew
	}
}
