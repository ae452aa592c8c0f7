package actors

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// network joins the actor systems of several nodes in one process, without sockets: each message is encoded and decoded.
type network struct {
	mu    sync.RWMutex
	nodes map[string]*testNode // by address
	cut   map[string]bool      // addresses that nothing reaches and nothing leaves
}

type testNode struct {
	t       *testing.T
	net     *network
	address string
	fs      vfs.FS
	system  *actor.ActorSystem
	store   *persistence.Store
	shared  Shared
	door    *Door
	machine *register
	// configure, if set, changes what the server is started with.
	configure func(*Config)
}

// register is a state machine that keeps the commands it applied.
type register struct {
	mu       sync.Mutex
	commands []string
}

func (r *register) Apply(entries []Entry) []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := make([]Result, len(entries))
	for i, e := range entries {
		r.commands = append(r.commands, string(e.Command))
		results[i].Value = fmt.Append(nil, len(r.commands))
	}
	return results
}

func (r *register) Snapshot() (View, error) {
	return ViewOf([]byte(strings.Join(r.all(), "\n"))), nil
}

func (r *register) Restore(from io.Reader) error {
	state, err := io.ReadAll(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = strings.FieldsFunc(string(state), func(c rune) bool { return c == '\n' })
	return err
}

func (r *register) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.commands...)
}

func (n *network) resolver(from string) actor.AddressResolver {
	return func(pid *actor.PID) (actor.Process, bool) { return wire{n, from}, true }
}

type wire struct {
	net  *network
	from string
}

func (w wire) SendUserMessage(pid *actor.PID, message any) {
	w.net.mu.RLock()
	to := w.net.nodes[pid.Address]
	lost := to == nil || w.net.cut[w.from] || w.net.cut[pid.Address]
	w.net.mu.RUnlock()
	if lost {
		return
	}
	_, m, sender := actor.UnwrapEnvelope(message)
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		panic(err)
	}
	copied := m.(proto.Message).ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, copied); err != nil {
		panic(err)
	}
	var from *actor.PID
	if sender != nil {
		from = actor.NewPID(sender.Address, sender.Id)
	}
	to.system.Root.RequestWithCustomSender(actor.NewPID(pid.Address, pid.Id), copied, from)
}

func (w wire) SendSystemMessage(*actor.PID, any) {}
func (w wire) Stop(*actor.PID)                   {}

type realClock struct{ root *actor.RootContext }

var started = time.Now()

func (c realClock) Now() time.Time           { return time.Now() }
func (c realClock) SinceBoot() time.Duration { return time.Since(started) }
func (c realClock) After(d time.Duration, target *actor.PID, message any) {
	time.AfterFunc(d, func() { c.root.Send(target, message) })
}

func testMembers(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i] = Member{ID: fmt.Sprintf("n%d", i+1), Address: fmt.Sprintf("n%d:1", i+1)}
	}
	return members
}

// startNetwork runs a group of n servers; each keeps its data in memory.
func startNetwork(t *testing.T, n int) (*network, []*testNode) {
	net := &network{nodes: map[string]*testNode{}, cut: map[string]bool{}}
	members := testMembers(n)
	nodes := make([]*testNode, n)
	for i, m := range members {
		nodes[i] = &testNode{t: t, net: net, address: m.Address, fs: vfs.NewMem()}
		nodes[i].start(m.ID, members)
	}
	return net, nodes
}

// silentSystem is an actor system that logs nothing.
func silentSystem() *actor.ActorSystem {
	return actor.NewActorSystemWithConfig(actor.Configure(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	})))
}

func (n *testNode) start(id string, members []Member) {
	n.system = silentSystem()
	n.system.ProcessRegistry.Address = n.address
	n.system.ProcessRegistry.RegisterAddressResolver(n.net.resolver(n.address))
	var err error
	n.store, err = persistence.Open("data", persistence.Options{FS: n.fs, NodeID: id, Cluster: "test", MemTableSize: 1 << 20})
	if err != nil {
		n.t.Fatal(err)
	}
	stored := make([]*messages.Member, len(members))
	for i, m := range members {
		stored[i] = &messages.Member{Id: m.ID, Address: m.Address}
	}
	record, err := n.store.Group("g", stored)
	if err != nil {
		n.t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(testWriter{n.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	aside := func(work func()) { go work() }
	n.shared, err = StartShared(n.system.Root, SharedConfig{
		Store: n.store, Clock: realClock{n.system.Root}, Write: aside, Run: aside, Broken: func(err error) { n.t.Error(err) },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.machine = &register{}
	n.net.mu.Lock()
	n.net.nodes[n.address] = n
	n.net.mu.Unlock()
	c := Config{
		Group: "g", ID: id, Members: members, Machine: n.machine, Shared: n.shared, Number: persistence.GroupID(record.Number),
		Clock: realClock{n.system.Root}, Seed: uint64(len(id)) + hash(id), Logger: logger,
	}
	if n.configure != nil {
		n.configure(&c)
	}
	if n.door, err = Start(n.system.Root, c); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.stop)
}

func (n *testNode) stop() {
	if n.door == nil {
		return
	}
	n.net.mu.Lock()
	delete(n.net.nodes, n.address)
	n.net.mu.Unlock()
	_ = n.system.Root.StopFuture(n.door.PID()).Wait()
	for _, pid := range n.shared.PIDs() {
		_ = n.system.Root.StopFuture(pid).Wait()
	}
	n.door = nil
	if err := n.store.Close(); err != nil {
		n.t.Error(err)
	}
}

// restart ends a lone member, and starts it with another configuration.
func (n *testNode) restart(change func(*Config)) {
	n.stop()
	n.configure = change
	n.start("n1", testMembers(1))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a log line after the test has ended
	w.t.Logf("%s", p)
	return len(p), nil
}

// asker waits for one answer.
type asker chan Answer

func (a asker) Answer(answer Answer) { a <- answer }

func propose(d *Door, command string) Answer {
	a := make(asker, 1)
	d.Propose([]byte(command), a)
	select {
	case answer := <-a:
		return answer
	case <-time.After(10 * time.Second):
		return Answer{Err: fmt.Errorf("no answer to %q within 10 s", command)}
	}
}

func readAll(d *Door) (string, error) {
	a := make(asker, 1)
	d.Query(nil, a)
	select {
	case answer := <-a:
		return string(answer.Value), answer.Err
	case <-time.After(10 * time.Second):
		return "", fmt.Errorf("no answer within 10 s")
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// leaderOf waits until one of the nodes leads and is ready.
func leaderOf(t *testing.T, nodes []*testNode) *testNode {
	t.Helper()
	var found *testNode
	eventually(t, "a leader", func() bool {
		for _, n := range nodes {
			if n.door != nil && n.door.Status().Ready {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func (r *register) Query(context.Context, []byte) ([]byte, error) {
	return []byte(strings.Join(r.all(), " ")), nil
}
