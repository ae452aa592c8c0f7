package transport

import (
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
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other, downPeer))
	victim := spawnEcho(system, "raft/g")
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)

	greeted, ungreeted := afterGreeting(tr.Address(), other), beforeGreeting(tr.Address())
	before := heapMiB()
	stop := peakHeap()
	seen := victim.messages.Load()
	unharmed := func(by hostileFrame) {
		t.Helper()
		if n := victim.bad.Load(); n > 0 {
			t.Fatalf("%s: an actor was harmed", by.name)
		}
	}
	for _, f := range greeted {
		s := attack(t, tr.Address())
		s.greet(t, downPeer)
		refuses(t, tr, s, f)
		unharmed(f)
	}
	for _, f := range ungreeted {
		refuses(t, tr, attack(t, tr.Address()), f)
		unharmed(f)
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
	s.greet(t, downPeer)
	s.send(one(func(*remote.MessageBatch, *remote.MessageEnvelope) {}))
	eventually(t, 2*time.Second, "a proper frame arrives", func() bool { return victim.messages.Load() == seen+1 })
}

// refuses sends a frame, and checks that it ends its stream and is counted as what it is.
func refuses(t *testing.T, tr *Transport, s *attacker, f hostileFrame) {
	t.Helper()
	refused := tr.counters.refused[f.why].Load()
	s.send(f.frame)
	answer, err := s.fate()
	if err == nil {
		t.Errorf("%s: answered with %d bytes", f.name, len(answer))
	} else if status.Code(err) == codes.DeadlineExceeded {
		t.Errorf("%s: the stream was not closed", f.name)
	}
	// gRPC tells the client of a codec's error before it tells the guard.
	for end := time.Now().Add(2 * time.Second); tr.counters.refused[f.why].Load() == refused; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: not counted as %q but ended with %v; %v", f.name, f.why, err, tr.Stats().Refused)
			break
		}
	}
	_ = s.conn.Close()
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
	diagnostics := &remote.GetProcessDiagnosticsRequest{Pid: actor.NewPID("", "activator")}
	if _, err := client.GetProcessDiagnostics(t.Context(), diagnostics); err == nil {
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
