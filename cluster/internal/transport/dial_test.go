package transport

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// An oddPeer is a server that behaves in its own way after the greeting.
type oddPeer struct {
	remote.UnimplementedRemotingServer
	answer func(remote.Remoting_ReceiveServer) error
}

func (o oddPeer) Receive(s remote.Remoting_ReceiveServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return o.answer(s)
}

func connectResponse(blocked bool) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{ConnectResponse: &remote.ConnectResponse{MemberId: "m", Blocked: blocked}}}
}

// Whatever a peer answers, the transport tries again, soon and not in a storm, and connects as soon as the peer is sane.
func TestOddAnswers(t *testing.T) {
	if !isolate(t) {
		return
	}
	system, tr := start(t, testConfig(t, "127.0.0.1:0"))
	disconnect := &remote.RemoteMessage{MessageType: &remote.RemoteMessage_DisconnectRequest{DisconnectRequest: &remote.DisconnectRequest{}}}
	long := &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{ConnectResponse: &remote.ConnectResponse{MemberId: strings.Repeat("x", 1<<20)}}}
	after := func(m *remote.RemoteMessage) func(remote.Remoting_ReceiveServer) error {
		return func(s remote.Remoting_ReceiveServer) error {
			_ = s.Send(connectResponse(false))
			if m == nil {
				return nil
			}
			_ = s.Send(m)
			<-s.Context().Done()
			return nil
		}
	}
	first := func(m *remote.RemoteMessage) func(remote.Remoting_ReceiveServer) error {
		return func(s remote.Remoting_ReceiveServer) error {
			_ = s.Send(m)
			<-s.Context().Done()
			return nil
		}
	}
	for what, answer := range map[string]func(remote.Remoting_ReceiveServer) error{
		"leaves at once":          after(nil),
		"asks to disconnect":      after(disconnect),
		"sends messages":          after(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: fullBatch()}}),
		"answers twice":           after(connectResponse(false)),
		"answers nothing":         first(&remote.RemoteMessage{}),
		"blocks us":               first(connectResponse(true)),
		"answers with a megabyte": first(long),
		"refuses":                 func(remote.Remoting_ReceiveServer) error { return status.Error(codes.PermissionDenied, "no") },
		"ends without an answer":  func(remote.Remoting_ReceiveServer) error { return nil },
		"disconnects instead":     first(disconnect),
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tries := make(chan struct{}, 1000)
		quit := make(chan struct{})
		server := grpc.NewServer()
		remote.RegisterRemotingServer(server, oddPeer{answer: func(s remote.Remoting_ReceiveServer) error {
			select {
			case tries <- struct{}{}:
			default:
			}
			select {
			case <-quit:
				return first(connectResponse(false))(s)
			default:
				return answer(s)
			}
		}})
		go func() { _ = server.Serve(l) }()
		address := l.Addr().String()
		tr.SetPeers([]string{address})
		begun := time.Now()
		for range 3 {
			system.Root.Send(actor.NewPID(address, "raft/g"), testTypes[0])
			select {
			case <-tries:
			case <-time.After(5 * time.Second):
				t.Fatalf("a peer that %s was not tried again", what)
			}
		}
		if d := time.Since(begun); d > 1500*time.Millisecond || d < 100*time.Millisecond {
			t.Errorf("a peer that %s was tried three times in %v", what, d)
		}
		close(quit)
		eventually(t, 3*time.Second, "the sane peer is connected and stays so: it once "+what, func() bool {
			p := tr.peer(address)
			l := p.link.Load()
			return l != nil && !l.closed.Load()
		})
		tr.SetPeers(nil)
		server.Stop()
	}
}

// A link that makes no progress is cut, one that is slow or has nothing to do is not.
func TestOnlyAStuckLinkIsCut(t *testing.T) {
	for what, test := range map[string]struct {
		queued  int64
		sends   uint64
		written uint64 // per tick
		cut     bool
	}{
		"nothing to send":                          {queued: 0},
		"a send that goes nowhere":                 {queued: 1, sends: 1, cut: true},
		"a slow send":                              {queued: 1, sends: 1, written: 1},
		"a writer that died":                       {queued: 1, sends: 2, cut: true},
		"a send of nothing, which the peer blocks": {queued: 0, sends: 1, cut: true},
	} {
		p, _ := openGate()
		p.transport.logger = slog.New(slog.DiscardHandler)
		l := p.link.Load()
		conn, err := grpc.NewClient("127.0.0.1:9", grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		l.conn, l.cancel = conn, func() {}
		l.queuedMessages.Store(test.queued)
		l.sends.Store(test.sends)
		for range stuckTicks + 1 {
			p.written.Add(test.written)
			l.tick()
		}
		if l.closed.Load() != test.cut || (p.link.Load() == nil) != test.cut {
			t.Errorf("%s: cut is %v", what, l.closed.Load())
		}
		_ = conn.Close()
	}
}
