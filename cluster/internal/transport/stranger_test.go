package transport

import (
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/internal/testca"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
	"github.com/troupe-raft/troupe/messages"
)

const testCluster = 7

func rightCluster() *messages.Header { return &messages.Header{Group: "g", ClusterId: testCluster} }

// knows makes a node know a cluster id, which its peers see when it greets.
func knows(c *Config, id uint64) {
	c.AllowTypes = append(slices.Clone(c.AllowTypes), (*messages.NodeStatusRequest)(nil))
	c.Admits = func(m proto.Message) bool {
		rpc, ok := m.(interface{ GetHeader() *messages.Header })
		return ok && rpc.GetHeader().GetClusterId() == id
	}
	c.Shows = func(address string) (*actor.PID, []proto.Message) {
		shown := &messages.RequestVoteReply{Header: &messages.Header{Group: "g", ClusterId: id}}
		return actor.NewPID(address, "node"), []proto.Message{shown}
	}
}

// startOpen starts a node that hears strangers of the test's cluster, and an actor that they may mail.
func startOpen(t *testing.T, peers ...string) (*actor.ActorSystem, *Transport, echo) {
	t.Helper()
	c := testConfig(t, "127.0.0.1:0", peers...)
	knows(&c, testCluster)
	system, tr := start(t, c)
	return system, tr, spawnEcho(system, "raft/g")
}

// A dialed address counts who connects to it.
func dialed(t *testing.T) (address string, times *atomic.Int64) {
	times = new(atomic.Int64)
	return serveRaw(t, func(net.Conn) { times.Add(1) }), times
}

// voteIn is a request that knows a cluster id.
func voteIn(cluster uint64) []byte {
	return typed(&messages.RequestVote{Header: &messages.Header{Group: "g", ClusterId: cluster}}, "raft/g")
}

// meet makes a stranger of the address, at a node.
func meet(t *testing.T, node, address string) *attacker {
	t.Helper()
	a := attack(t, node)
	a.send(greeting(address))
	a.send(voteIn(testCluster))
	if _, err := a.fate(); err != nil {
		t.Fatalf("a stranger that knows the cluster was refused: %v", err)
	}
	return a
}

func strangers(tr *Transport) (all []string) {
	for _, p := range tr.Stats().Peers {
		if p.Stranger {
			all = append(all, p.Address)
		}
	}
	return all
}

// silence makes a stranger, if it is one, one that has said nothing for so long.
func silence(tr *Transport, address string, d time.Duration) {
	if p := tr.peer(address); p != nil {
		p.heard.Store(time.Now().Add(-d).UnixNano())
	}
}

// Who does not show that it knows the cluster id is no stranger, is not dialed, and mails nobody.
func TestWhoIsNoStranger(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr, victim := startOpen(t)
	here, dials := dialed(t)
	forged := one(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
		e.MessageData = encode(&messages.RequestVote{Header: rightCluster()})
		b.Senders, e.Sender = []*actor.PID{actor.NewPID("127.0.0.1:10", "raft/g")}, 1
	})
	long := &messages.AppendEntries{Header: rightCluster(), Entries: [][]byte{make([]byte, shownBytes)}}
	for what, test := range map[string]struct {
		frame []byte
		why   Refusal
	}{
		"another cluster":         {voteIn(testCluster + 1), RefusedUnknownPeer},
		"no cluster":              {voteIn(0), RefusedUnknownPeer},
		"no header":               {typed(&messages.RequestVote{}, "raft/g"), RefusedUnknownPeer},
		"a question without one":  {typed(&messages.NodeStatusRequest{Group: "g", From: "n1"}, "node"), RefusedUnknownPeer},
		"an empty frame":          {batch(&remote.MessageBatch{}), RefusedUnknownPeer},
		"a long message":          {typed(long, "raft/g"), RefusedUnknownPeer},
		"garbage":                 {content([]byte("\xff\xff\xff")), RefusedMalformed},
		"no message of its type":  {content([]byte{0x0a, 0x01, 0x07}), RefusedUnknownPeer},
		"a forged sender":         {forged, RefusedForgedSender},
		"a target of the process": {typed(&messages.RequestVote{Header: rightCluster()}, "guardian$1"), RefusedTarget},
		"a second greeting":       {greeting(here), RefusedNoGreeting},
		"100 kB":                  {content(make([]byte, 100_000)), RefusedLimit},
	} {
		a := attack(t, tr.Address())
		a.send(greeting(here))
		refuses(t, tr, a, hostileFrame{what, test.why, test.frame})
	}
	for _, address := range []string{"", "nowhere", ":1", "n1:0", "n1:", tr.Address()} {
		refuses(t, tr, attack(t, tr.Address()), hostileFrame{"a greeting from " + address, RefusedUnknownPeer, greeting(address)})
	}
	silent := attack(t, tr.Address())
	silent.send(greeting(here))
	eventually(t, time.Second, "it is one that has not greeted", func() bool { return tr.Stats().UnprovenConns > 0 })
	if _, err := silent.fate(); err == nil {
		t.Error("a stranger that says nothing was answered")
	}
	eventually(t, 2*unprovenTime, "no connection is left", func() bool { return tr.Stats().InboundConns == 0 })
	if all := strangers(tr); len(all) > 0 || victim.messages.Load() > 0 || dials.Load() > 0 || len(*tr.peers.Load()) > 0 {
		t.Errorf("strangers %v, %d messages arrived, dialed %d times", all, victim.messages.Load(), dials.Load())
	}
}

// Every message of a stranger is checked. What does not show that it knows the cluster is ignored; what is hostile ends the stream.
func TestEveryMessageOfAStrangerIsChecked(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr, victim := startOpen(t)
	here, dials := dialed(t)
	a := meet(t, tr.Address(), here)
	eventually(t, 2*time.Second, "it is dialed", func() bool { return dials.Load() > 0 })
	silence(tr, here, strangerTime/2)
	silent := tr.peer(here).heard.Load()
	for _, f := range [][]byte{
		voteIn(testCluster + 1), voteIn(0), typed(&messages.RequestVote{}, "raft/g"), typed(&messages.NodeStatusRequest{}, "node"),
	} {
		a.send(f)
	}
	eventually(t, 2*time.Second, "they are ignored", func() bool { return tr.Stats().Ignored == 4 })
	if n := victim.messages.Load(); n != 1 || tr.peer(here).heard.Load() != silent {
		t.Errorf("%d messages arrived, or they count as heard", n)
	}
	a.send(voteIn(testCluster))
	eventually(t, 2*time.Second, "the next is heard", func() bool { return victim.messages.Load() == 2 })
	if tr.peer(here).heard.Load() == silent {
		t.Error("it does not count as heard")
	}

	// Somebody else in its name, who does not know the cluster, takes nothing from it.
	for range 3 * connsPerPeer {
		other := attack(t, tr.Address())
		other.send(greeting(here))
		refuses(t, tr, other, hostileFrame{"an impostor", RefusedUnknownPeer, voteIn(testCluster + 1)})
	}
	a.send(voteIn(testCluster))
	eventually(t, 2*time.Second, "the stranger is still heard", func() bool { return victim.messages.Load() == 3 })

	hostile := slices.Concat(wrongIndices(), forbiddenTypes(tr.Address()), forbiddenTargets(),
		forgedSenders(tr.Address(), "127.0.0.1:11"), headers(), malformed("127.0.0.1:11"))
	for i, f := range hostile {
		refuses(t, tr, meet(t, tr.Address(), fmt.Sprintf("127.0.0.1:%d", 1+i%8)), f)
	}
	if victim.bad.Load() > 0 || tr.Stats().Refused[RefusedPanic] > 0 {
		t.Error("an actor was harmed")
	}
}

// The 33rd stranger is refused while the others are heard, and takes the place of one that has been silent.
func TestStrangersAreFew(t *testing.T) {
	if !isolate(t) {
		return
	}
	_, tr, victim := startOpen(t)
	address := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", 1+i) }
	all := make([]*attacker, mostStrangers)
	for i := range all {
		all[i] = meet(t, tr.Address(), address(i))
	}
	for range 3 {
		a := attack(t, tr.Address())
		a.send(greeting(address(mostStrangers)))
		refuses(t, tr, a, hostileFrame{"one more", RefusedStranger, voteIn(testCluster)})
	}
	for i, a := range all {
		silence(tr, address(i), strangerTime-10*time.Second)
		a.send(voteIn(testCluster))
	}
	eventually(t, 2*time.Second, "the others are still heard", func() bool { return victim.messages.Load() == 2*mostStrangers })
	silence(tr, address(9), strangerTime)
	meet(t, tr.Address(), address(mostStrangers))
	if n := len(strangers(tr)); n != mostStrangers || tr.peer(address(9)) != nil {
		t.Errorf("%d strangers", n)
	}
	if _, err := all[9].fate(); err == nil {
		t.Error("the connection of the silent one is open")
	}
}

// A stranger that says nothing for a minute is forgotten, with its connections, and what is mailed to it is dropped.
func TestASilentStrangerIsForgotten(t *testing.T) {
	if !isolate(t) {
		return
	}
	system, tr, _ := startOpen(t)
	other := loopback.FreeAddress(t)
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}, ClusterID: testCluster})
	askUntilAnswered(t, system, other, 5*time.Second)
	now := time.Now()
	p := tr.peer(other)
	p.heard.Store(now.UnixNano())
	if p.isSilent(now.Add(time.Minute-time.Millisecond)) || !p.isSilent(now.Add(time.Minute)) {
		t.Error("it is not silent after a minute")
	}
	target := actor.NewPID(other, "raft/g")
	system.Root.Send(target, &messages.RequestVote{})
	eventually(t, 5*time.Second, "it is forgotten, and comes again", func() bool {
		p.heard.Store(now.Add(-time.Minute).UnixNano()) // replies may still be on their way
		again := tr.peer(other)
		return again != nil && again != p && tr.Connected(other)
	})
	before := c.stats().Echoed
	system.Root.Send(target, &messages.RequestVote{}) // with what the PID remembers
	eventually(t, 2*time.Second, "mail arrives", func() bool { return c.stats().Echoed == before+1 })

	c.kill()
	eventually(t, 2*time.Second, "its connection ends", func() bool { return tr.Stats().Disconnects == 2 })
	eventually(t, 2*time.Second, "it is forgotten", func() bool {
		silence(tr, other, time.Minute)
		s := tr.Stats()
		return len(*tr.peers.Load()) == 0 && len(s.Peers) == 0 && s.InboundConns == 0
	})
	dropped := tr.Stats().Dropped[DropUnknownPeer]
	sendVote(system, other)
	if n := tr.Stats().Dropped[DropUnknownPeer]; n != dropped+1 {
		t.Error("a message to it was not dropped")
	}
	for i := range 4 * mostStrangers { // however many come and go
		if err := tr.meet(fmt.Sprintf("127.0.0.1:%d", 1+i)); err != nil {
			t.Fatal(err)
		}
		silence(tr, fmt.Sprintf("127.0.0.1:%d", 1+i), time.Minute)
	}
	eventually(t, time.Second, "nothing is left", func() bool { return len(*tr.peers.Load()) == 0 })
}

// A stranger that becomes a peer keeps its connections. A peer that is left out comes again as a stranger. The PIDs stay the same.
func TestAStrangerBecomesAPeerAndBack(t *testing.T) {
	if !isolate(t) {
		return
	}
	system, tr, _ := startOpen(t)
	other := loopback.FreeAddress(t)
	c := startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}, ClusterID: testCluster})
	eventually(t, 5*time.Second, "it is a stranger, and connected", func() bool {
		return slices.Equal(strangers(tr), []string{other}) && tr.Connected(other)
	})
	target := actor.NewPID(other, "raft/g")
	sends := func() {
		t.Helper()
		before := c.stats().Echoed
		eventually(t, 2*time.Second, "mail arrives", func() bool {
			system.Root.Send(target, &messages.RequestVote{})
			return c.stats().Echoed > before
		})
	}
	sends()
	tr.SetPeers([]string{"127.0.0.1:9"}) // which is somebody else
	sends()
	tr.SetPeers([]string{other})
	silence(tr, other, 2*strangerTime) // which does not matter any more
	tr.tendStrangers(time.Now())
	if s := tr.Stats().Peers; len(s) != 1 || s[0].Stranger {
		t.Errorf("peers %+v", s)
	}
	sends()
	askUntilAnswered(t, system, other, 2*time.Second)
	if here, there := tr.Stats(), c.stats().Stats; here.Disconnects+there.Disconnects > 0 {
		t.Errorf("connections broke: %+v %+v", here, there)
	}

	tr.SetPeers(nil)
	eventually(t, 5*time.Second, "it is a stranger again", func() bool { return len(strangers(tr)) == 1 && tr.Connected(other) })
	sends()
	askUntilAnswered(t, system, other, 5*time.Second)
	eventually(t, 5*time.Second, "it is forgotten", func() bool {
		silence(tr, other, strangerTime)
		return c.stats().Stats.Disconnects == 2
	})
	eventually(t, 5*time.Second, "it comes again", func() bool {
		return len(strangers(tr)) == 1 && tr.Connected(other)
	})
	sends()
}

// The certificate must be that of the address, whatever else a stranger knows.
func TestAStrangersCertificate(t *testing.T) {
	if !isolate(t) {
		return
	}
	files := testca.New(t).Issue("127.0.0.1")
	c := testConfig(t, "127.0.0.1:0")
	knows(&c, testCluster)
	c.TLS = mustLoad(t, files)
	system, tr := start(t, c)
	victim := spawnEcho(system, "raft/g")
	says := func(address string) error {
		a := attackWith(t, tr.Address(), credentials.NewTLS(config(t, files)))
		a.send(greeting(address))
		a.send(voteIn(testCluster))
		_, err := a.fate()
		return err
	}
	if err := says("127.0.0.2:9"); status.Code(err) != codes.Unauthenticated || len(strangers(tr)) > 0 || victim.messages.Load() > 0 {
		t.Errorf("the name of another host: %v", err)
	}
	if err := says("127.0.0.1:9"); err != nil || len(strangers(tr)) != 1 {
		t.Errorf("its own: %v", err)
	}
}

func TestShutdownWithStrangers(t *testing.T) {
	if !isolate(t) {
		return
	}
	system, tr, _ := startOpen(t)
	other := loopback.FreeAddress(t)
	startChild(t, childSpec{Listen: other, Peers: []string{tr.Address()}, ClusterID: testCluster})
	askUntilAnswered(t, system, other, 5*time.Second)
	meet(t, tr.Address(), "127.0.0.1:9")
	attack(t, tr.Address()).send(greeting("127.0.0.1:10"))
	begun := time.Now()
	tr.Shutdown()
	if d := time.Since(begun); d > time.Second {
		t.Errorf("Shutdown took %v", d)
	}
	if s := tr.Stats(); s.InboundConns != 0 || len(s.Peers) != 0 {
		t.Errorf("after Shutdown: %+v", s)
	}
	if err, ok := tr.meet("127.0.0.1:10").(*refusal); !ok || err.why != RefusedForNow {
		t.Errorf("it meets others: %v", err)
	}
}

// While a node starts, strangers that it will know later are put off, and those that know the cluster are let in.
func TestStrangersWhileTheNodeStarts(t *testing.T) {
	if !isolate(t) {
		return
	}
	c := testConfig(t, "127.0.0.1:0")
	knows(&c, testCluster)
	c.Settling = func() bool { return true }
	_, tr := start(t, c)
	a := attack(t, tr.Address())
	a.send(greeting("127.0.0.1:9"))
	a.send(voteIn(testCluster + 1))
	if _, err := a.fate(); status.Code(err) != codes.Unavailable {
		t.Errorf("another cluster: %v", err)
	}
	meet(t, tr.Address(), "127.0.0.1:9")
}

// A node of another cluster is refused as one that shows nothing: its operator is told why, and it does not connect for a moment.
func TestARefusedStrangerIsTold(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	child := startChild(t, childSpec{Listen: other, ClusterID: testCluster + 1})
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0", other)
	knows(&c, testCluster)
	c.Logger = log.Logger()
	_, tr := start(t, c)
	eventually(t, 5*time.Second, "it is told", func() bool {
		return log.Count("level=WARN", troubleWords[troubleUnlisted], "peer="+other) == 1
	})
	eventually(t, 5*time.Second, "it tries again", func() bool { return child.stats().Stats.Refused[RefusedUnknownPeer] >= 5 })
	if n := tr.Stats().Connects; n > 0 || log.Count("connected to a peer") > 0 || log.Count("level=WARN") != 1 {
		t.Errorf("connected %d times\n%s", n, &log)
	}
}

func TestOneStrangerTooManyIsTold(t *testing.T) {
	if !isolate(t) {
		return
	}
	other := loopback.FreeAddress(t)
	startChild(t, childSpec{Listen: other, ClusterID: testCluster})
	patience[troubleCrowded] = 0
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0")
	knows(&c, testCluster)
	c.Logger = log.Logger()
	_, tr := start(t, c)
	for i := range mostStrangers {
		meet(t, other, fmt.Sprintf("127.0.0.1:%d", 1+i))
	}
	tr.SetPeers([]string{other})
	eventually(t, 5*time.Second, "it is told", func() bool {
		return log.Count("level=WARN", troubleWords[troubleCrowded], "peer="+other) == 1
	})
}
