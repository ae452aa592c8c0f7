package transport

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
)

// Thousands of connections that say nothing, or only hello, keep nobody out and cost little.
func TestAFloodOfConnections(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	// Under the race detector everything takes ten times as long, a peer's greeting too.
	pause, thousands := 2*time.Millisecond, int64(4000)
	if raceEnabled {
		pause, thousands = 20*time.Millisecond, 1000
	}
	before := heapMiB()
	quit := make(chan struct{})
	var flood sync.WaitGroup
	var opened atomic.Int64
	for worker := range 8 {
		flood.Add(1)
		go func() {
			defer flood.Done()
			var held []net.Conn
			defer func() {
				for _, c := range held {
					_ = c.Close()
				}
			}()
			for {
				select {
				case <-quit:
					return
				case <-time.After(pause):
				}
				c, err := net.Dial("tcp", tr.Address())
				if err != nil {
					continue
				}
				if worker%2 == 0 {
					_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
				}
				opened.Add(1)
				if held = append(held, c); len(held) == 500 { // 4000 in all
					_ = held[0].Close()
					held = held[1:]
				}
			}
		}()
	}
	eventually(t, 20*time.Second, "thousands are open", func() bool { return opened.Load() > thousands })
	for range 3 {
		c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
		at := askUntilAnswered(t, system, other, 5*time.Second)
		t.Logf("after %d connections a peer is served %v after its start", opened.Load(), at.Sub(c.begun))
		if n := tr.Stats().UnprovenConns; n > unprovenConns+8 { // 8 may be about to be evicted
			t.Errorf("%d connections without a greeting are open", n)
		}
		c.kill()
	}
	if after := heapMiB(); after > before+100 {
		t.Errorf("the heap grew from %d to %d MiB", before, after)
	} else {
		t.Logf("heap: %d MiB before, %d MiB under the flood", before, after)
	}
	close(quit)
	flood.Wait()
	eventually(t, 2*unprovenTime, "all are closed", func() bool { return tr.Stats().InboundConns == 0 })
	if tr.Stats().Refused[RefusedConnection] == 0 {
		t.Error("no eviction was counted")
	}
}

func TestConnectionsThatSayNothingAreClosed(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr := start(t, testConfig(t, "127.0.0.1:0", "127.0.0.1:9"))
	silent, err := net.Dial("tcp", tr.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stream := attack(t, tr.Address()) // a stream without a greeting
	eventually(t, time.Second, "both are open", func() bool { return tr.Stats().UnprovenConns == 2 })
	_ = silent.SetReadDeadline(time.Now().Add(2 * unprovenTime))
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Errorf("the silent connection ended with %v", err)
	}
	if _, err := stream.fate(); err == nil {
		t.Error("the stream was answered")
	}
	eventually(t, time.Second, "no connection is left", func() bool { return tr.Stats().InboundConns == 0 })
	if n := tr.Stats().Refused[RefusedHandshake]; n != 2 {
		t.Errorf("%d were counted, want 2", n)
	}
}

// Whoever claims to be a peer again and again gets two connections. The true peer soon gets its own back.
func TestConnectionsPerPeer(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	for range 20 {
		attack(t, tr.Address()).greet(t, other)
	}
	eventually(t, 2*time.Second, "the oldest are closed", func() bool { return tr.Stats().InboundConns <= connsPerPeer })
	askUntilAnswered(t, system, other, 2*time.Second)
	if n := tr.Stats().Refused[RefusedConnection]; n < 19 {
		t.Errorf("%d evictions were counted", n)
	}
}

// A connection carries one stream at a time, however many are asked for.
func TestStreamsPerConnection(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr := start(t, testConfig(t, "127.0.0.1:0", "127.0.0.1:9"))
	first := attack(t, tr.Address())
	first.greet(t, "127.0.0.1:9")
	var answered atomic.Int64
	for range 50 {
		go func() {
			s, err := remote.NewRemotingClient(first.conn).Receive(t.Context())
			if err != nil {
				return
			}
			answered.Add(1)
			_, _ = s.Recv()
		}()
	}
	// The connection still serves its first stream; the others wait at the client.
	first.send(one(func(*remote.MessageBatch, *remote.MessageEnvelope) {}))
	eventually(t, time.Second, "the first stream is served", func() bool { return tr.Stats().Received == 1 })
	if n := answered.Load(); n != 0 {
		t.Errorf("%d more streams were opened", n)
	}
}

// 10 MiB of HTTP/2 header fragments.
func TestABombOfHeaders(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr := start(t, testConfig(t, "127.0.0.1:0"))
	before := heapMiB()
	c, err := net.Dial("tcp", tr.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})                              // SETTINGS
	_, _ = c.Write([]byte{0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83})                        // HEADERS, to be continued
	chunk := append([]byte{0, 0x40, 0, 9, 0, 0, 0, 0, 1}, make([]byte, 0x4000)...) // CONTINUATION
	for i := range 0x4000 {
		chunk[9+i] = 0x83 // :method POST
	}
	go func() {
		for range 640 {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(2 * unprovenTime))
	_, err = io.Copy(io.Discard, c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection was not closed")
	}
	if after := heapMiB(); after > before+5 {
		t.Errorf("the heap grew from %d to %d MiB", before, after)
	}
}

func TestStartExplainsItself(t *testing.T) {
	if !isolate(t) {
		return
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for what, change := range map[string]func(*Config){
		"a taken port":         func(c *Config) { c.Listen = taken.Addr().String() },
		"no port":              func(c *Config) { c.Listen = "127.0.0.1" },
		"no name of a port":    func(c *Config) { c.Listen = "127.0.0.1:nothing" },
		"a port too large":     func(c *Config) { c.Listen = "127.0.0.1:70000" },
		"no host":              func(c *Config) { c.Listen = ":0" },
		"every host":           func(c *Config) { c.Listen = "0.0.0.0:0" },
		"a foreign host":       func(c *Config) { c.Listen = "192.0.2.1:0" },
		"a bad peer":           func(c *Config) { c.Peers = []string{"n2"} },
		"an empty peer":        func(c *Config) { c.Peers = []string{""} },
		"a peer at port 0":     func(c *Config) { c.Peers = []string{"n2:0"} },
		"a bad advertisement":  func(c *Config) { c.Advertise = "n1" },
		"no types":             func(c *Config) { c.AllowTypes = nil },
		"no targets":           func(c *Config) { c.AllowTarget = nil },
		"frames too small":     func(c *Config) { c.MaxMessageBytes = 10 },
		"TLS without a client": func(c *Config) { c.TLS = &TLS{} },
	} {
		c := testConfig(t, "127.0.0.1:0")
		change(&c)
		tr, err := Start(NewSystem(nil), c)
		if err == nil {
			t.Errorf("%s: no error", what)
			tr.Shutdown()
			continue
		}
		t.Logf("%s: %v", what, err)
	}
	if _, err := Start(nil, testConfig(t, "127.0.0.1:0")); err == nil {
		t.Error("no system: no error")
	}
}

// Shutdown is quick with a connected peer, a dialing one and senders at work, and closes everything.
func TestShutdown(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	var log testlog.Log
	config := testConfig(t, "127.0.0.1:0", other, "127.0.0.1:9", "192.0.2.1:7000")
	config.Logger = log.Logger()
	system, tr := start(t, config)
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	quit := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for {
				select {
				case <-quit:
					return
				default:
					sendVote(system, other)
					time.Sleep(10 * time.Microsecond)
				}
			}
		}()
	}
	begun := time.Now()
	var all sync.WaitGroup
	for range 3 {
		all.Add(1)
		go func() { defer all.Done(); tr.Shutdown() }()
	}
	all.Wait()
	if d := time.Since(begun); d > time.Second {
		t.Errorf("Shutdown took %v", d)
	}
	tr.SetPeers([]string{other}) // too late, and harmless
	close(quit)
	senders.Wait()
	if s := tr.Stats(); s.InboundConns != 0 || len(s.Peers) != 0 {
		t.Errorf("after Shutdown: %+v", s)
	}
	if conn, err := net.Dial("tcp", tr.Address()); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
	if log.Count(`"the connection to a peer ended"`, "this node stops") != 1 || log.Count("level=WARN") != 0 {
		t.Errorf("the log says:\n%s", &log)
	}
	eventually(t, time.Second, "the peer notices", func() bool { return c.stats().Stats.Disconnects == 1 })
	if r := c.command("shutdown"); r.Bad != 0 {
		t.Errorf("the child: %+v", r)
	}
}

func TestPlainClientsOfUnknownServices(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr := start(t, testConfig(t, "127.0.0.1:0"))
	conn, err := grpc.NewClient(tr.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Invoke(t.Context(), "/no.Such/Call", &remote.ListProcessesRequest{}, &remote.ListProcessesResponse{}); err == nil {
		t.Error("an unknown service was served")
	}
}
