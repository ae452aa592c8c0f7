package transport

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/protobuf/proto"
)

var askers atomic.Int64

// askUntilAnswered sends RequestVotes every millisecond until one is answered, and returns when that was.
func askUntilAnswered(t testing.TB, system *actor.ActorSystem, address string, within time.Duration) time.Time {
	t.Helper()
	answered := make(chan time.Time, 1)
	me, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*messages.RequestVoteReply); ok {
			select {
			case answered <- time.Now():
			default:
			}
		}
	}), fmt.Sprintf("raft/asker-%d", askers.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	// Not before: an answer that finds it gone is answered by Proto.Actor, and that does not travel.
	t.Cleanup(func() { system.Root.Stop(me) })
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	end := time.After(within)
	for {
		select {
		case at := <-answered:
			return at
		case <-end:
			t.Fatalf("no answer from %s within %v", address, within)
		case <-every.C:
			vote := &messages.RequestVote{Header: rightCluster(), Round: 1}
			system.Root.RequestWithCustomSender(actor.NewPID(address, "raft/g"), vote, me)
		}
	}
}

func TestMessagesFlowBothWays(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	if s := tr.Stats(); s.Received == 0 || s.Written == 0 || s.Connects != 1 || len(s.Peers) != 1 || !s.Peers[0].Connected {
		t.Errorf("%+v", s)
	}
}

// A demo or a benchmark runs a cluster in one process. (The race detector would see grpclog.SetLoggerV2.)
func TestThreeNodesInOneProcess(t *testing.T) {
	if raceEnabled || !isolate(t) {
		return
	}
	var systems []*actor.ActorSystem
	var transports []*Transport
	var addresses []string
	for range 3 {
		system, tr := start(t, testConfig(t, "127.0.0.1:0"))
		spawnEcho(system, "raft/g")
		systems, transports, addresses = append(systems, system), append(transports, tr), append(addresses, tr.Address())
	}
	for _, tr := range transports {
		tr.SetPeers(addresses)
	}
	for _, from := range systems {
		for _, to := range addresses {
			askUntilAnswered(t, from, to, 2*time.Second) // also itself, without the network
		}
	}
	transports[1].Shutdown()
	eventually(t, time.Second, "the others notice", func() bool {
		return !transports[0].Connected(addresses[1]) && !transports[2].Connected(addresses[1])
	})
	askUntilAnswered(t, systems[0], addresses[2], time.Second)
}

func TestARestartedPeerAnswersAtOnce(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	spec := childSpec{Listen: other, Peers: []string{tr.Address()}}
	var delays []time.Duration
	for range 7 {
		c := startChild(t, spec)
		delays = append(delays, askUntilAnswered(t, system, other, 5*time.Second).Sub(c.begun))
		// A connection that lasts less than a tick is taken for a peer that does not want it.
		eventually(t, time.Second, "the connection has lasted a while", func() bool {
			return time.Since(time.Unix(0, tr.peer(other).connected.Load())) > tick
		})
		c.kill()
		eventually(t, time.Second, "the gate notices that the peer is gone", func() bool { return !tr.Connected(other) })
	}
	slices.Sort(delays)
	t.Logf("answered so long after it was about to listen: %v", delays)
	// The median, and not less: other tests keep the machine busy.
	if d := delays[len(delays)/2]; d > 200*time.Millisecond {
		t.Errorf("a restarted peer answered only after %v", d)
	}
}

func TestAStoppedPeerCostsNoMemory(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	before := heapMiB()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	target := actor.NewPID(other, "raft/g")
	most := before
	for end, n := time.Now().Add(3*time.Second), 0; time.Now().Before(end); n++ {
		system.Root.Send(target, &messages.AppendEntries{Entries: [][]byte{bytes.Repeat([]byte{byte(n)}, 128<<10)}})
		if n%1000 == 0 {
			most = max(most, heapMiB())
		}
		if n%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	t.Logf("heap: %d MiB before, %d MiB at most; %+v", before, most, tr.Stats())
	if s := tr.Stats(); s.Disconnects != 1 || s.Dropped[DropQueueFull] == 0 || s.Dropped[DropNotConnected] == 0 {
		t.Errorf("the stuck connection was not cut: %+v", s)
	}
	if most > before+40 {
		t.Errorf("the heap grew from %d to %d MiB", before, most)
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	at := askUntilAnswered(t, system, other, 5*time.Second)
	t.Logf("answered %v after it went on", at.Sub(resumed))
}

// The same PIDs are used throughout: they cache the Process behind their address.
func TestTheGateFollowsThePeers(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	var mu sync.Mutex
	var hints []string
	hint := func(s string) func(string) {
		return func(address string) {
			mu.Lock()
			defer mu.Unlock()
			hints = append(hints, s+" "+address)
		}
	}
	hinted := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(hints)
	}
	cfg := testConfig(t, "127.0.0.1:0")
	cfg.OnConnect, cfg.OnDisconnect = hint("connected"), hint("disconnected")
	system, tr := start(t, cfg)
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	target := actor.NewPID(other, "raft/g")
	send := func() { system.Root.Send(target, &messages.AppendEntries{}) }
	for range 10 {
		send()
	}
	if n := tr.Stats().Dropped[DropUnknownPeer]; n != 10 {
		t.Errorf("%d messages to an unknown address were dropped, want 10", n)
	}
	// The child cannot connect to us either: its greeting is refused.
	eventually(t, 5*time.Second, "its greeting is refused", func() bool { return tr.Stats().Refused[RefusedUnknownPeer] > 0 })

	tr.SetPeers([]string{other, tr.Address()})
	eventually(t, 2*time.Second, "the new peer is connected", func() bool { return tr.Connected(other) })
	send()
	eventually(t, 2*time.Second, "the message arrives", func() bool { return c.stats().Echoed == 1 })
	askUntilAnswered(t, system, other, 2*time.Second)

	tr.SetPeers(nil)
	eventually(t, time.Second, "no connection is left", func() bool { s := tr.Stats(); return s.InboundConns == 0 && len(s.Peers) == 0 })
	unknown := tr.Stats().Dropped[DropUnknownPeer]
	send()
	if n := tr.Stats().Dropped[DropUnknownPeer]; n != unknown+1 {
		t.Error("a message to a removed peer was not dropped")
	}

	tr.SetPeers([]string{other})
	askUntilAnswered(t, system, other, 5*time.Second)
	c.kill()
	want := []string{"connected " + other, "disconnected " + other, "connected " + other, "disconnected " + other}
	eventually(t, 2*time.Second, "the hints come in order", func() bool { return slices.Equal(hinted(), want) })
}

func TestWhatDoesNotTravelIsDropped(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	target := actor.NewPID(other, "raft/g")
	vote := &messages.RequestVote{}
	for _, m := range []any{"text", nil, &actor.DeadLetterResponse{}, &remote.ActorPidRequest{}, &actor.PoisonPill{},
		&actor.MessageEnvelope{Message: vote, Header: map[string]string{"a": "b"}},
		&actor.MessageEnvelope{Message: vote, Sender: actor.NewPID("127.0.0.1:9", "raft/g")}} {
		before := tr.Stats().Dropped[DropUnsendable]
		system.Root.Send(target, m)
		if n := tr.Stats().Dropped[DropUnsendable]; n != before+1 {
			t.Errorf("%T was not dropped", m)
		}
	}
	system.Root.Send(target, &messages.AppendEntries{Entries: [][]byte{make([]byte, 4<<20)}})
	if n := tr.Stats().Dropped[DropTooLarge]; n != 1 {
		t.Error("a message of 4 MiB was not dropped")
	}
	system.Root.Stop(target)
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			c.Watch(target)
			c.Unwatch(target)
		}
	}))
	eventually(t, time.Second, "Stop, Watch and Unwatch are dropped", func() bool { return tr.Stats().Dropped[DropSystem] == 3 })
	// Nobody at raft/nobody: the child's dead letter answer must not travel, and must not end its stream to us.
	system.Root.RequestWithCustomSender(actor.NewPID(other, "raft/nobody"), vote, actor.NewPID(tr.Address(), "raft/me"))
	eventually(t, time.Second, "the child drops its DeadLetterResponse", func() bool {
		return c.stats().Stats.Dropped[DropUnsendable] == 1
	})
	askUntilAnswered(t, system, other, time.Second)
	if r := c.stats(); r.Bad != 0 || r.Stats.Disconnects != 0 || tr.Stats().Disconnects != 0 {
		t.Errorf("the child: %+v", r)
	}
}

func TestADownPeerCostsNothing(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	before := heapMiB()
	target := actor.NewPID(other, "raft/g")
	m := &messages.AppendEntries{Entries: [][]byte{make([]byte, 256<<10)}}
	for range 1_000_000 {
		system.Root.Send(target, m)
	}
	if n := tr.Stats().Dropped[DropNotConnected]; n != 1_000_000 {
		t.Errorf("%d messages were dropped", n)
	}
	if after := heapMiB(); after > before+2 {
		t.Errorf("the heap grew from %d to %d MiB", before, after)
	}
	if e := tr.Stats().Peers[0].LastError; e == "" {
		t.Error("the statistics do not say why the peer is not connected")
	}
}

// Everything that was counted into the queue is counted out again, and what arrives is what was sent, although the receiver
// decodes in place.
func TestTheQueueEmpties(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	target := actor.NewPID(other, "raft/g")
	from := tr.Stats()
	base := c.stats()
	var bytesSent int64
	for n := range 3000 {
		size := 1 + n*37%60_000
		m := &messages.AppendEntries{Entries: [][]byte{bytes.Repeat([]byte{byte(n)}, size), {}, bytes.Repeat([]byte{byte(n + 1)}, 3)}}
		sent := tr.Stats().Sent
		system.Root.Send(target, m)
		if tr.Stats().Sent > sent {
			bytesSent += int64(size) + 3
		}
		for tr.Stats().Peers[0].QueuedBytes > 4<<20 {
			time.Sleep(time.Millisecond)
		}
	}
	eventually(t, 5*time.Second, "the queue is empty", func() bool {
		p := tr.Stats().Peers[0]
		return p.QueuedBytes == 0 && p.QueuedMessages == 0
	})
	s := tr.Stats()
	if s.Written != s.Sent || s.Sent-from.Sent != 3000 {
		t.Errorf("%d sent, %d written", s.Sent-from.Sent, s.Written-from.Written)
	}
	var r childReport
	eventually(t, 5*time.Second, "all of it arrives", func() bool { r = c.stats(); return r.Bytes-base.Bytes >= bytesSent })
	if r.Bytes-base.Bytes != bytesSent || r.Bad != 0 {
		t.Errorf("%d bytes arrived, %d were sent; %d entries were damaged", r.Bytes-base.Bytes, bytesSent, r.Bad)
	}
}

// The largest burst that the gate admits fits into the frames that the peer accepts.
func TestBurstsOfLargeMessagesArrive(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	system, tr := start(t, testConfig(t, "127.0.0.1:0", other))
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(t, system, other, 5*time.Second)
	before := tr.Stats()
	base := c.stats()
	for range 500 {
		system.Root.Send(actor.NewPID(other, "raft/g"), &messages.AppendEntries{Entries: [][]byte{make([]byte, 1<<20)}})
	}
	s := tr.Stats()
	if s.Dropped[DropQueueFull] == 0 {
		t.Error("the queue never filled")
	}
	eventually(t, 5*time.Second, "what was admitted arrives", func() bool {
		return c.stats().Echoed-base.Echoed >= int64(s.Sent-before.Sent)
	})
	if n := tr.Stats().Disconnects; n != 0 {
		t.Errorf("the connection broke %d times", n)
	}
}

func TestTheGateAllocatesNothing(t *testing.T) {
	p, message := openGate()
	target := actor.NewPID("b:1", "raft/g")
	if n := testing.AllocsPerRun(1000, func() { p.SendUserMessage(target, message) }); n > 0 {
		t.Errorf("queueing a message allocates %v times", n)
	}
	if n := p.transport.counters.sent.Load(); n != 1001 {
		t.Errorf("%d messages were queued", n)
	}
	p.link.Store(nil)
	if n := testing.AllocsPerRun(1000, func() { p.SendUserMessage(target, message) }); n > 0 {
		t.Errorf("dropping a message allocates %v times", n)
	}
}

// openGate is a connected peer without a connection and without a writer, and an AppendEntries with entries of 128 bytes in an envelope.
func openGate(entries ...int) (*peer, any) {
	t := &Transport{types: newTypeSet(testTypes), address: "a:1", maxMessage: 1 << 40, maxQueue: 1 << 62}
	p := &peer{address: "b:1", transport: t}
	l := &link{peer: p, queue: newQueue()}
	l.queuedMessages.Store(-1 << 62)
	p.link.Store(l)
	m := &messages.AppendEntries{
		Header:       &messages.Header{Group: "g", From: "n1", To: "n2", Term: 3, ClusterId: 1, StoreId: 2},
		PrevLogIndex: 1,
		Round:        7,
	}
	for _, n := range entries {
		for range n {
			m.Entries = append(m.Entries, make([]byte, 128))
		}
	}
	return p, &actor.MessageEnvelope{Message: proto.Message(m), Sender: actor.NewPID("a:1", "raft/g")}
}

func BenchmarkGate(b *testing.B) {
	for _, entries := range []int{0, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			p, message := openGate(entries)
			target := actor.NewPID("b:1", "raft/g")
			var taken []mail
			b.ReportAllocs()
			for b.Loop() {
				p.SendUserMessage(target, message)
				taken, _ = p.link.Load().queue.take(taken)
			}
		})
	}
}

func sendVote(system *actor.ActorSystem, address string) {
	system.Root.Send(actor.NewPID(address, "raft/g"), &messages.RequestVote{})
}
