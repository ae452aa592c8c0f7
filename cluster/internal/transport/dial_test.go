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

// behaviour is what a server does after the greeting.
type behaviour func(remote.Remoting_ReceiveServer) error

// An oddPeer is a server with a behaviour of its own.
type oddPeer struct {
	remote.UnimplementedRemotingServer
	answer behaviour
}

func (o oddPeer) Receive(s remote.Remoting_ReceiveServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return o.answer(s)
}

func consent() *remote.RemoteMessage { return connectResponse(&remote.ConnectResponse{MemberId: "m"}) }

// answersWith sends each message, and then waits for the end.
func answersWith(all ...*remote.RemoteMessage) behaviour {
	return func(s remote.Remoting_ReceiveServer) error {
		for _, m := range all {
			_ = s.Send(m)
		}
		<-s.Context().Done()
		return nil
	}
}

func oddAnswers() map[string]behaviour {
	batch := &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: fullBatch()}}
	return map[string]behaviour{
		"leaves at once": func(s remote.Remoting_ReceiveServer) error {
			_ = s.Send(consent())
			return nil
		},
		"asks to disconnect":      answersWith(consent(), disconnectRequest()),
		"sends messages":          answersWith(consent(), batch),
		"answers twice":           answersWith(consent(), consent()),
		"answers nothing":         answersWith(&remote.RemoteMessage{}),
		"blocks us":               answersWith(connectResponse(&remote.ConnectResponse{MemberId: "m", Blocked: true})),
		"answers with a megabyte": answersWith(connectResponse(&remote.ConnectResponse{MemberId: strings.Repeat("x", 1<<20)})),
		"refuses":                 func(remote.Remoting_ReceiveServer) error { return status.Error(codes.PermissionDenied, "no") },
		"ends without an answer":  func(remote.Remoting_ReceiveServer) error { return nil },
		"disconnects instead":     answersWith(disconnectRequest()),
	}
}

// serveOddly serves with a behaviour until sane is closed, and then as a peer does. Each try to connect is told.
func serveOddly(t *testing.T, answer behaviour, sane <-chan struct{}) (address string, tries <-chan struct{}, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tried := make(chan struct{}, 1000)
	server := grpc.NewServer()
	remote.RegisterRemotingServer(server, oddPeer{answer: func(s remote.Remoting_ReceiveServer) error {
		select {
		case tried <- struct{}{}:
		default:
		}
		select {
		case <-sane:
			return answersWith(consent())(s)
		default:
			return answer(s)
		}
	}})
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), tried, server.Stop
}

// Whatever a peer answers, the transport tries again, soon and not in a storm, and connects as soon as the peer is sane.
func TestOddAnswers(t *testing.T) {
	if !isolate(t) {
		return
	}
	system, tr := start(t, testConfig(t, "127.0.0.1:0"))
	for what, answer := range oddAnswers() {
		sane := make(chan struct{})
		address, tries, stop := serveOddly(t, answer, sane)
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
		close(sane)
		eventually(t, 3*time.Second, "the sane peer is connected and stays so: it once "+what, func() bool {
			p := tr.peer(address)
			l := p.link.Load()
			return l != nil && !l.closed.Load()
		})
		tr.SetPeers(nil)
		stop()
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
