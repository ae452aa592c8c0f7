package clientport

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// loadFiles are a certificate and its key, and the authority of clients, if any.
func loadFiles(t *testing.T, cert, key, authority string) *tlsfiles.Files {
	t.Helper()
	files, err := tlsfiles.Load(tlsfiles.Names{Certificate: cert, Key: key, Authorities: authority})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// securedPort serves keyValues with TLS, and to clients of that authority only, if there is one.
func securedPort(t *testing.T, files *tlsfiles.Files, limits Limits, log *slog.Logger) *Port {
	t.Helper()
	p := openSecured(t, files, limits, log)
	t.Cleanup(p.Close)
	return p
}

func openSecured(t *testing.T, files *tlsfiles.Files, limits Limits, log *slog.Logger) *Port {
	t.Helper()
	limits.SetDefaults()
	p, err := Listen(Config{Listen: "127.0.0.1:0", Public: "127.0.0.1:0", TLS: files, Limits: limits, Logger: log}, mapNode(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Handle(messagesconnect.NewKeyValueHandler(keyValues{}, HandlerOptions()...)); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	return p
}

func trusting(t *testing.T, authority, cert, key string) *tls.Config {
	t.Helper()
	config, err := client.LoadTLS(authority, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// httpsClient speaks HTTP/2 or HTTP/1.1.
func httpsClient(t *testing.T, config *tls.Config, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: config.Clone()}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func fetch(c *http.Client, url string) (text string, err error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	return fmt.Sprint(r.StatusCode, " ", r.Proto, " ", string(body)), err
}

func TestThePortSpeaksTLS(t *testing.T) {
	ours, theirs := testca.New(t), testca.New(t)
	node, known, unknown := ours.Issue("127.0.0.1"), theirs.Issue("client"), ours.Issue("client")
	open := securedPort(t, loadFiles(t, node[0], node[1], ""), Limits{}, slog.New(slog.DiscardHandler))
	closed := securedPort(t, loadFiles(t, node[0], node[1], known[2]), Limits{}, slog.New(slog.DiscardHandler))
	for _, http2 := range []bool{true, false} {
		proto := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[http2]
		for _, c := range []struct {
			what   string
			port   *Port
			config *tls.Config
			served bool
		}{
			{"any client", open, trusting(t, node[2], "", ""), true},
			{"a client that trusts another authority", open, trusting(t, known[2], "", ""), false},
			{"a client with a certificate", closed, trusting(t, node[2], known[0], known[1]), true},
			{"a client with another authority's certificate", closed, trusting(t, node[2], unknown[0], unknown[1]), false},
			{"a client without a certificate", closed, trusting(t, node[2], "", ""), false},
		} {
			h := httpsClient(t, c.config, http2)
			for _, page := range []string{healthPath, readyPath} {
				text, err := fetch(h, "https://"+c.port.Address()+page)
				if served := text == "200 "+proto+" ok\n"; served != c.served || served != (err == nil) {
					t.Errorf("%s %s: %q %v", proto, c.what, text, err)
				}
			}
			k := messagesconnect.NewKeyValueClient(h, "https://"+c.port.Address())
			if r, err := k.Put(t.Context(), &messages.PutRequest{Key: "k"}); (err == nil && r.Version == 1) != c.served {
				t.Errorf("%s %s: %v %v", proto, c.what, r, err)
			}
		}
	}
}

func TestPlainTextIsToldOfTLS(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	p := securedPort(t, loadFiles(t, files[0], files[1], ""), Limits{}, slog.New(slog.DiscardHandler))
	if status, text := post(t, p.Address(), "/", strings.Repeat("x", 1<<20)); status != http.StatusBadRequest || text != plainAdvice+"\n" {
		t.Errorf("%d %q", status, text)
	}
	a := dial(t, p.Address(), 1<<16)
	said := a.Drain()
	if said["goaway INADEQUATE_SECURITY"] != 1 || said["end: EOF"] != 1 {
		t.Errorf("HTTP/2: %v", said)
	}
}

// vastHello is most of a hello of a size that TLS allows and no client has.
func vastHello() (records []byte) {
	hello := make([]byte, 60_000)
	copy(hello, []byte{1, 0, 0xf0, 0})
	for part := range slices.Chunk(hello, 1<<14) {
		records = append(records, 0x16, 3, 1, byte(len(part)>>8), byte(len(part)))
		records = append(records, part...)
	}
	return records
}

func TestHandshakesAreBounded(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	const dripping, vast = "the beginning of a hello", "a vast hello"
	for what, first := range map[string][]byte{
		"silence": {}, dripping: {0x16, 3, 1, 2, 0, 1}, vast: vastHello(), "nonsense": make([]byte, 100),
	} {
		limits := soon()
		if what != vast { // which ends by its bytes
			limits.Slow = 300 * time.Millisecond
		}
		p := securedPort(t, loadFiles(t, files[0], files[1], ""), limits, slog.New(slog.DiscardHandler))
		conn, err := net.Dial("tcp", p.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() {
			_, err := conn.Write(first)
			for what == dripping && err == nil { // which keeps no connection open
				time.Sleep(time.Millisecond)
				_, err = conn.Write([]byte{0})
			}
		}()
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err = io.Copy(io.Discard, conn)
		if network, ok := err.(net.Error); ok && network.Timeout() {
			t.Errorf("%s: the connection is still open", what)
		}
		eventually(t, what+" leaves its place", func() bool { return p.limiter.connections.left() == p.limiter.connections.size })
	}
}

func TestWhoStallsInTheHandshakeMakesRoom(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	limits := soon()
	limits.Connections = 4
	var log testlog.Log
	p := securedPort(t, loadFiles(t, files[0], files[1], ""), limits, log.Logger())
	for range limits.Connections + lobbySize + 10 {
		conn, err := net.Dial("tcp", p.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte{0x16, 3, 1, 2, 0, 1})
	}
	config := trusting(t, files[2], "", "")
	if text, err := fetch(httpsClient(t, config, false), "https://"+p.Address()+healthPath); err != nil || !strings.HasPrefix(text, "200") {
		t.Errorf("health: %s %v", text, err)
	}
	eventually(t, "a place is free", func() bool {
		h := httpsClient(t, config, true)
		defer h.CloseIdleConnections()
		_, err := messagesconnect.NewKeyValueClient(h, "https://"+p.Address()).Put(t.Context(), &messages.PutRequest{Key: "k"})
		return err == nil
	})
	if n := log.Count("level=WARN"); n > 0 {
		t.Errorf("%d warnings of clients that say nothing:\n%s", n, &log)
	}
}

func TestFailedHandshakesAreLoggedOnce(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	var log testlog.Log
	p := securedPort(t, loadFiles(t, files[0], files[1], files[2]), Limits{}, log.Logger())
	for range 20 {
		if _, err := fetch(httpsClient(t, trusting(t, files[2], "", ""), false), "https://"+p.Address()+healthPath); err == nil {
			t.Fatal("it was served")
		}
	}
	if n := log.Count("level=WARN", "is refused", "certificate", "127.0.0.1"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

func TestTheNextCertificateIsShown(t *testing.T) {
	t.Parallel()
	ours, theirs := testca.New(t), testca.New(t)
	files, next := ours.Issue("127.0.0.1"), theirs.Issue("127.0.0.1")
	p := securedPort(t, loadFiles(t, files[0], files[1], files[2]), Limits{}, slog.New(slog.DiscardHandler))
	served := func(files []string) bool {
		_, err := fetch(httpsClient(t, trusting(t, files[2], files[0], files[1]), true), "https://"+p.Address()+healthPath)
		return err == nil
	}
	old := make([]string, len(files))
	for i := range files {
		old[i] = filepath.Join(t.TempDir(), filepath.Base(files[i]))
		testca.Replace(t, old[i], files[i])
	}
	if !served(old) || served(next) {
		t.Fatal("before the files change")
	}
	for i := range files {
		testca.Replace(t, files[i], next[i])
	}
	eventually(t, "the next one is shown", func() bool { return served(next) })
	if served(old) {
		t.Error("who has the old one is still served")
	}
}

// A slowSigner is a key that takes long, and counts who uses it at a time.
type slowSigner struct {
	crypto.Signer
	running, most atomic.Int32
}

func (s *slowSigner) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(2 * time.Millisecond)
	return s.Signer.Sign(random, digest, o)
}

// However many handshakes there are, half of the processors compute for them, so that heartbeats go on.
func TestHandshakesTakeTurns(t *testing.T) {
	names := testca.New(t).Issue("127.0.0.1")
	files := loadFiles(t, names[0], names[1], "")
	own := &files.Content().Certificates[0]
	signer := &slowSigner{Signer: own.PrivateKey.(crypto.Signer)}
	own.PrivateKey = signer // nobody else has it yet
	p := securedPort(t, files, Limits{}, slog.New(slog.DiscardHandler))
	config := trusting(t, names[2], "", "")
	config.ServerName = "127.0.0.1"
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if conn, err := tls.Dial("tcp", p.Address(), config); err != nil {
				t.Error(err)
			} else {
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	if n := int(signer.most.Load()); n < 1 || n > max(1, runtime.GOMAXPROCS(0)/2) {
		t.Errorf("%d handshakes at a time", n)
	}
}
