package transport

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Whatever an attacker who may claim a known address sends, the process lives, the actors are unharmed, memory stays bounded
// and a proper peer is still served.
func TestHostileFrames(t *testing.T) {
	if !isolate(t) {
		return
	}
	const claimed = "127.0.0.1:9" // a peer that is down
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other, claimed))
	victim := spawnEcho(system, "raft/g")
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)

	envelope := func(change func(e *remote.MessageEnvelope)) []byte {
		return one(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { change(e) })
	}
	sender := func(pid *actor.PID) []byte {
		return one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) { b.Senders, e.Sender = []*actor.PID{pid}, 1 })
	}
	local := actor.NewPID(tr.Address(), "raft/g")
	full := 16<<20 - 64
	attacks := []struct {
		name  string
		why   Refusal
		greet string // what is claimed before; none when empty
		frame []byte
	}{
		{"type index too large", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.TypeId = 1 })},
		{"type index negative", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.TypeId = -1 })},
		{"target index too large", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.Target = 1 })},
		{"target index negative", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.Target = -1 << 31 })},
		{"sender index too large", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.Sender = 1 })},
		{"sender index negative", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.Sender = -1 })},
		{"no types at all", RefusedMalformed, claimed, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.TypeNames = nil })},
		{"no targets at all", RefusedMalformed, claimed, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.Targets = nil })},
		{"serializer 1", RefusedType, claimed, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = 1 })},
		{"serializer -1", RefusedType, claimed, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = -1 })},
		{"serializer 99", RefusedType, claimed, envelope(func(e *remote.MessageEnvelope) { e.SerializerId = 99 })},
		{"Terminated without subject", RefusedType, claimed, typed(&actor.Terminated{}, "raft/g")},
		{"Terminated in the name of another", RefusedType, claimed, typed(&actor.Terminated{Who: local}, "raft/g")},
		{"Stop", RefusedType, claimed, typed(stopActor, "raft/g")},
		{"PoisonPill", RefusedType, claimed, typed(poisonPill, "raft/g")},
		{"Watch", RefusedType, claimed, typed(&actor.Watch{Watcher: local}, "raft/g")},
		{"Unwatch", RefusedType, claimed, typed(&actor.Unwatch{Watcher: local}, "raft/g")},
		{"spawn request", RefusedType, claimed, typed(&remote.ActorPidRequest{Kind: "k", Name: "n"}, "activator")},
		{"DeadLetterResponse", RefusedType, claimed, typed(&actor.DeadLetterResponse{}, "raft/g")},
		{"JSON message", RefusedType, claimed, one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
			b.TypeNames[0], e.MessageData = "remote.JsonMessage", []byte("{}")
		})},
		{"unknown type", RefusedType, claimed, one(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.TypeNames[0] = "no.such.Type" })},
		{"our type to guardian$1", RefusedTarget, claimed, typed(&messages.RequestVote{}, "guardian$1")},
		{"our type to the activator", RefusedTarget, claimed, typed(&messages.RequestVote{}, "activator")},
		{"our type to the endpoint supervisor", RefusedTarget, claimed, typed(&messages.RequestVote{}, "EndpointSupervisor")},
		{"our type to the event stream", RefusedTarget, claimed, typed(&messages.RequestVote{}, "eventstream")},
		{"our type to a future", RefusedTarget, claimed, typed(&messages.RequestVote{}, "future$1")},
		{"sender at another address", RefusedForgedSender, claimed, sender(actor.NewPID("127.0.0.1:10", "raft/g"))},
		{"sender in the name of another peer", RefusedForgedSender, claimed, sender(actor.NewPID(other, "raft/g"))},
		{"sender in our own name", RefusedForgedSender, claimed, sender(local)},
		{"sender without an address", RefusedForgedSender, claimed, sender(&actor.PID{Id: "raft/g"})},
		{"sender called nonhost", RefusedForgedSender, claimed, sender(actor.NewPID("nonhost", "raft/g"))},
		{"headers", RefusedHeader, claimed, envelope(func(e *remote.MessageEnvelope) {
			e.MessageHeader = &remote.MessageHeader{HeaderData: map[string]string{"a": "b"}}
		})},
		{"a bomb of headers", RefusedHeader, claimed, envelope(func(e *remote.MessageEnvelope) {
			e.MessageHeader = &remote.MessageHeader{HeaderData: manyHeaders(200_000)}
		})},
		{"garbage", RefusedMalformed, claimed, []byte("\xff\xfe garbage \x00\x01")},
		{"a torn frame", RefusedMalformed, claimed, one(func(*remote.MessageBatch, *remote.MessageEnvelope) {})[:20]},
		{"an empty frame", RefusedMalformed, claimed, []byte{}},
		{"nil oneof", RefusedMalformed, claimed, encode(&remote.RemoteMessage{})},
		{"garbage for a message", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.MessageData = []byte("\xff\xff\xff") })},
		{"a message that its type cannot decode", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.MessageData = []byte{0x0a, 0x01, 0x07} })},
		{"a group in a message", RefusedMalformed, claimed, envelope(func(e *remote.MessageEnvelope) { e.MessageData = bytes.Repeat([]byte{0x0b}, 9000) })},
		{"a name that is no text", RefusedMalformed, claimed, bytes.Replace(typed(&messages.RequestVote{}, "raft/XX"), []byte("XX"), []byte("\xff\xfe"), 1)},
		{"a target of 100 kB", RefusedLimit, claimed, typed(&messages.RequestVote{}, "raft/"+string(bytes.Repeat([]byte("x"), 100_000)))},
		{"DisconnectRequest", RefusedMalformed, claimed, encode(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_DisconnectRequest{DisconnectRequest: &remote.DisconnectRequest{}}})},
		{"ConnectResponse", RefusedMalformed, claimed, encode(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{ConnectResponse: &remote.ConnectResponse{}}})},
		{"a second greeting", RefusedNoGreeting, claimed, greeting(claimed)},
		{"a second greeting as another", RefusedNoGreeting, claimed, greeting(other)},
		{"two batches in one frame", RefusedMalformed, claimed, append(typed(&messages.RequestVote{}, "raft/g"), typed(&messages.RequestVote{}, "raft/g")...)},

		{"empty envelopes", RefusedLimit, claimed, many(3, full/2)},
		{"empty targets", RefusedLimit, claimed, many(2, full/2)},
		{"empty type names", RefusedLimit, claimed, many(1, full/2)},
		{"empty senders", RefusedLimit, claimed, many(4, full/2)},
		{"empty entries", RefusedLimit, claimed, one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
			b.TypeNames[0], e.MessageData = "troupe.raft.v1.AppendEntries", bytes.Repeat([]byte{0x22, 0}, full/2-100)
		})},
		{"a frame above the limit", RefusedLimit, claimed, make([]byte, 16<<20+1)},
		{"a frame far above the limit", RefusedLimit, claimed, make([]byte, 256<<20)},

		{"messages without a greeting", RefusedNoGreeting, "", typed(&messages.RequestVote{}, "raft/g")},
		{"a greeting from nowhere", RefusedUnknownPeer, "", greeting("")},
		{"a greeting from an unknown address", RefusedUnknownPeer, "", greeting("10.0.0.1:7000")},
		{"a greeting from ourselves", RefusedUnknownPeer, "", greeting(tr.Address())},
		{"a client's greeting", RefusedMalformed, "", encode(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
			ConnectionType: &remote.ConnectRequest_ClientConnection{ClientConnection: &remote.ClientConnection{MemberId: "m"}}}}})},
		{"an empty greeting", RefusedMalformed, "", encode(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{}}})},
		{"a greeting of 8 kB", RefusedLimit, "", greeting(string(bytes.Repeat([]byte("x"), 8000)))},
		{"8 MiB before a greeting", RefusedLimit, "", envelope(func(e *remote.MessageEnvelope) {
			e.MessageData = encode(&messages.AppendEntries{Entries: [][]byte{make([]byte, 8<<20)}})
		})},
	}
	before := heapMiB()
	stop := peakHeap()
	seen := victim.messages.Load()
	for _, a := range attacks {
		refused := tr.counters.refused[a.why].Load()
		s := attack(t, tr.Address())
		if a.greet != "" {
			s.greet(t, a.greet)
		}
		s.send(a.frame)
		answer, err := s.fate()
		if err == nil {
			t.Errorf("%s: answered with %d bytes", a.name, len(answer))
		} else if status.Code(err) == codes.DeadlineExceeded {
			t.Errorf("%s: the stream was not closed", a.name)
		}
		// gRPC tells the client of a codec's error before it tells the guard.
		for end := time.Now().Add(2 * time.Second); tr.counters.refused[a.why].Load() == refused; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: not counted as %q but ended with %v; %v", a.name, a.why, err, tr.Stats().Refused)
				break
			}
		}
		_ = s.conn.Close()
		if n := victim.bad.Load(); n > 0 {
			t.Fatalf("%s: an actor was harmed", a.name)
		}
	}
	if n := victim.messages.Load(); n != seen {
		t.Errorf("%d hostile messages arrived", n-seen)
	}
	if n := tr.counters.refused[RefusedPanic].Load(); n > 0 {
		t.Errorf("%d panics had to be recovered", n)
	}
	peak := stop()
	t.Logf("heap: %d MiB before, %d MiB at most, with the attacker's frames", before, peak)
	if peak > before+150 {
		t.Errorf("the heap grew from %d to %d MiB", before, peak)
	}
	askUntilAnswered(t, system, other, 2*time.Second)
	// A proper frame is let through, so the test above does not refuse for another reason.
	s := attack(t, tr.Address())
	s.greet(t, claimed)
	s.send(one(func(*remote.MessageBatch, *remote.MessageEnvelope) {}))
	eventually(t, 2*time.Second, "a proper frame arrives", func() bool { return victim.messages.Load() == seen+1 })
}

func manyHeaders(n int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

func TestUnaryCallsAreRefused(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr := start(t, testConfig(t, "127.0.0.1:0"))
	conn, err := grpc.NewClient(tr.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := remote.NewRemotingClient(conn)
	if _, err := client.ListProcesses(t.Context(), &remote.ListProcessesRequest{Pattern: "."}); err == nil {
		t.Error("ListProcesses was answered")
	}
	if _, err := client.GetProcessDiagnostics(t.Context(), &remote.GetProcessDiagnosticsRequest{Pid: actor.NewPID("", "activator")}); err == nil {
		t.Error("GetProcessDiagnostics was answered")
	}
	if n := tr.Stats().Refused[RefusedPanic]; n > 0 {
		t.Error("a unary call reached the reader")
	}
	if n := tr.Stats().Refused[RefusedUnary]; n != 2 {
		t.Errorf("%d refusals were counted, want 2", n)
	}
}

func TestAPanicInTheReaderIsRecovered(t *testing.T) {
	if !isolate(t) {
		return
	}
	// A target filter that lets everything through is a mistake that must not cost the process.
	c := testConfig(t, "127.0.0.1:0", "127.0.0.1:9")
	c.AllowTarget = func(string) bool { return true }
	system, tr := start(t, c)
	system.Root.WithGuardian(actor.DefaultSupervisorStrategy()).Spawn(actor.PropsFromFunc(func(actor.Context) {}))
	guardian := ""
	for i := range 64 {
		if id := fmt.Sprintf("guardian$%c", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ~+"[i]); hasLocal(system, id) {
			guardian = id
		}
	}
	s := attack(t, tr.Address())
	s.greet(t, "127.0.0.1:9")
	s.send(typed(&messages.RequestVote{}, guardian))
	if _, err := s.fate(); status.Code(err) != codes.Internal {
		t.Errorf("the stream ended with %v", err)
	}
	if n := tr.Stats().Refused[RefusedPanic]; n != 1 {
		t.Errorf("%d panics were counted, want 1 (guardian %q)", n, guardian)
	}
}

func hasLocal(system *actor.ActorSystem, id string) bool {
	_, ok := system.ProcessRegistry.GetLocal(id)
	return ok
}
