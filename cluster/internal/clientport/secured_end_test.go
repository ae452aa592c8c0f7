package clientport

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/testca"
)

// pipes accepts connections that hold nothing of what is written and not read.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) Close() error {
	defer func() { _ = recover() }() // it is closed already
	close(p)
	return nil
}

// The end of the port waits neither for a client that reads nothing, of which TLS takes leave, nor for one that stalls in its handshake.
func TestThePortEndsAtOnce(t *testing.T) {
	files := testca.New(t).Issue("127.0.0.1")
	var limits Limits
	limits.SetDefaults()
	p, err := Listen(Config{
		Listen: "127.0.0.1:0", Public: "127.0.0.1:0", TLS: loadFiles(t, files[0], files[1], ""), Limits: limits,
		Logger: slog.New(slog.DiscardHandler),
	}, &testNode{})
	if err != nil {
		t.Fatal(err)
	}
	defer func(tcp net.Listener) { _ = tcp.Close() }(p.listener.Listener)
	accepts := make(pipes)
	p.listener.Listener = accepts
	p.Serve()
	connect := func() net.Conn {
		ours, theirs := net.Pipe()
		accepts <- theirs
		return ours
	}
	config := trusting(t, files[2], "", "")
	config.ServerName = "127.0.0.1"
	idle := tls.Client(connect(), config)
	fmt.Fprintf(idle, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", healthPath)
	if _, err := io.ReadAtLeast(idle, make([]byte, 1000), len("HTTP/1.1 200 OK\r\n\r\nok\n")); err != nil {
		t.Fatal(err)
	}
	connect() // says nothing
	eventually(t, "both are there", func() bool { return p.limiter.connections.left() == p.limiter.connections.size-2 })
	began := time.Now()
	p.Drain(50 * time.Millisecond)
	time.Sleep(50 * time.Millisecond) // the server takes leave
	p.Close()
	eventually(t, "all places are free", func() bool { return p.limiter.connections.left() == p.limiter.connections.size })
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
