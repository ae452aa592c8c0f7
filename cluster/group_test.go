package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
)

// echo answers a command with itself, rejects "no", panics at "panic" and is slow at "slow".
type echo struct{ release chan struct{} }

func (e echo) Apply(entries []actors.Entry) []actors.Result {
	results := make([]actors.Result, len(entries))
	for i, entry := range entries {
		switch string(entry.Command) {
		case "no":
			results[i].Err = errors.New("not today")
		case "panic":
			panic("as asked")
		case "slow":
			<-e.release
		default:
			results[i].Value = append([]byte(nil), entry.Command...)
		}
	}
	return results
}

func (echo) Query(_ context.Context, query []byte) ([]byte, error) {
	if string(query) == "no" {
		return nil, errors.New("no such thing")
	}
	return query, nil
}

func (echo) Snapshot() (actors.View, error) { return actors.ViewOf(nil), nil }
func (echo) Restore(io.Reader) error        { return nil }

func TestProposeAndRead(t *testing.T) {
	if !alone(t) {
		return
	}
	machine := echo{make(chan struct{})}
	node, group := single(t, t.TempDir(), machine)
	eventually(t, "the node leads", func() bool { return leads(group) })

	first, err := group.Propose(t.Context(), []byte("a"))
	if err != nil || string(first.Value) != "a" || first.Index == 0 {
		t.Fatal(first, err)
	}
	second, err := group.Propose(noContext, nil)
	if err != nil || second.Index <= first.Index {
		t.Fatal(second, err)
	}
	var rejected *actors.RejectedError
	if _, err := group.Propose(t.Context(), []byte("no")); !errors.As(err, &rejected) || rejected.Reason.Error() != "not today" {
		t.Fatal(err)
	}
	if answer, err := group.Read(noContext, []byte("q")); err != nil || string(answer) != "q" {
		t.Fatal(answer, err)
	}
	if _, err := group.Read(t.Context(), []byte("no")); err == nil || err.Error() != "no such thing" {
		t.Fatal(err)
	}
	if _, err := group.Propose(t.Context(), make([]byte, 2<<20+1)); !errors.Is(err, actors.ErrTooLarge) {
		t.Fatal(err)
	}

	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := group.Propose(over, []byte("x")); !errors.Is(err, context.Canceled) || errors.Is(err, actors.ErrOutcomeUnknown) {
		t.Fatal("a command that was never proposed has a known outcome:", err)
	}
	if _, err := group.Read(over, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	// A caller that stops waiting does not learn the outcome, and cancels nothing.
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := group.Propose(short, []byte("slow")); !unknownInTime(err) {
		t.Fatal(err)
	}
	applied := group.Status().AppliedIndex
	machine.release <- struct{}{}
	eventually(t, "the abandoned command is applied", func() bool { return group.Status().AppliedIndex > applied })

	// A call without a deadline is given one.
	start := time.Now()
	if _, err := group.Propose(context.Background(), []byte("slow")); !unknownInTime(err) {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 4*time.Second || took > 10*time.Second {
		t.Fatalf("the default deadline came after %v", took)
	}
	machine.release <- struct{}{}

	members := group.Members()
	founded := len(members) == 1 && members[0].StoreID != 0 // what the log says, not what the group was started with
	if !founded || members[0].Address != node.PeerAddr() || group.Name() != "kv" || group.PID() != nil {
		t.Fatal(members, group.Name(), group.PID())
	}
}

// unknownInTime: time was up, and the command may be applied or not.
func unknownInTime(err error) bool {
	return errors.Is(err, actors.ErrOutcomeUnknown) && errors.Is(err, context.DeadlineExceeded)
}

func TestShutdownAnswersWhoWaits(t *testing.T) {
	if !alone(t) {
		return
	}
	machine := echo{make(chan struct{})}
	node, group := single(t, t.TempDir(), machine)
	eventually(t, "the node leads", func() bool { return leads(group) })
	answers := make(chan error, 100)
	for i := range cap(answers) {
		go func() {
			_, err := group.Propose(context.Background(), fmt.Append(nil, i))
			answers <- err
		}()
	}
	shutdown(t, node)
	start := time.Now()
	for range cap(answers) {
		if err := <-answers; err != nil && !errors.Is(err, actors.ErrClosed) && !errors.Is(err, actors.ErrOutcomeUnknown) {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Fatalf("the last answer came %v after the shutdown", took)
	}
}

func TestAMachineThatPanicsStopsItsGroupOnly(t *testing.T) {
	if !alone(t) {
		return
	}
	node, group := single(t, t.TempDir(), echo{})
	self := group.Members()
	other, err := node.StartGroup(t.Context(), "other", self, kv.NewMap())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node leads both", func() bool { return leads(group) && leads(other) })
	if _, err := group.Propose(t.Context(), []byte("panic")); err == nil {
		t.Fatal("no error")
	}
	eventually(t, "the group says that it failed", func() bool { return group.Status().Role == actors.Failed })
	if _, err := group.Propose(t.Context(), []byte("a")); !errors.Is(err, actors.ErrGroupFailed) {
		t.Fatal(err)
	}
	if node.Failed() != nil {
		t.Fatal(node.Failed())
	}
	if _, err := kv.Open(other).Put(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutQuorum: a leader that lost its followers ends waiting writes with an outcome that is unknown.
func TestWithoutQuorum(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, nil)
	var first *process
	var err error
	eventually(t, "a write reaches the leader before it notices", func() bool {
		first = leader(t, nodes)
		for _, p := range without(nodes, first) {
			p.kill()
		}
		if err = first.puts(t, "k", "v"); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			return true
		}
		for i, p := range nodes {
			if p != first {
				nodes[i] = startProcess(t, p.spec)
			}
		}
		return false
	})
	if _, unknown := detailOf(t, err).(*messages.OutcomeUnknown); !unknown || connect.CodeOf(err) != connect.CodeAborted {
		t.Fatal(err)
	}
	eventually(t, "there is no leader", func() bool {
		code, text := first.page(t, "/readyz")
		err := first.puts(t, "k", "v")
		return code == 503 && text != "" && connect.CodeOf(err) == connect.CodeFailedPrecondition
	})
	if _, err := first.gets(t, "k"); err == nil {
		t.Fatal("a read without a quorum")
	}
}

func TestFacade(t *testing.T) {
	if !alone(t) {
		return
	}
	app := newApp(t)
	node, group := single(t, t.TempDir(), echo{}, cluster.WithActorSystem(app))
	eventually(t, "the node leads", func() bool { return leads(group) })
	if pid := group.PID(); pid == nil || pid.Id != "troupe/kv" || pid.Address != app.Address() {
		t.Fatal(pid)
	}
	ask := func(message any) *cluster.Reply { return asked(t, app, group, message) }
	if r := ask(&cluster.Propose{Command: []byte("a")}); r.Err != nil || string(r.Value) != "a" || r.Index == 0 {
		t.Fatal(r)
	}
	if r := ask(&cluster.Propose{Command: []byte("no")}); r.Err == nil {
		t.Fatal(r)
	}
	if r := ask(&cluster.Read{Query: []byte("q")}); r.Err != nil || string(r.Value) != "q" || r.Index == 0 {
		t.Fatal(r)
	}
	mustContain(t, ask("what is this").Err, "not string")

	app.Root.Send(group.PID(), &cluster.Propose{Command: []byte("nobody waits")})
	app.Root.Send(group.PID(), "nobody asks")
	app.Root.Send(group.PID(), nil)

	slowAskerHoldsUpNobody(t, app, group)

	if _, err := node.StartGroup(t.Context(), "second", group.Members(), echo{}); err != nil {
		t.Fatal(err)
	}
	blocker, err := app.Root.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), "troupe/third")
	if err != nil {
		t.Fatal(err)
	}
	_, err = node.StartGroup(t.Context(), "third", group.Members(), echo{})
	mustContain(t, err, "has an actor troupe/third already")
	app.Root.StopFuture(blocker).Wait()
	if _, err := node.StartGroup(t.Context(), "third", group.Members(), echo{}); err != nil {
		t.Fatal(err)
	}
	shutdown(t, node)
	if _, found := app.ProcessRegistry.GetLocal("troupe/kv"); found {
		t.Fatal("the group's actor outlives its node: the next node would find the name taken")
	}
}

// slowAskerHoldsUpNobody: an actor that does not empty its bounded mailbox holds up nobody else.
func slowAskerHoldsUpNobody(t *testing.T, app *actor.ActorSystem, group *cluster.Group) {
	t.Helper()
	hold := make(chan struct{})
	var heard atomic.Int64
	asker := app.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			for i := range 100 {
				c.Request(group.PID(), &cluster.Propose{Command: fmt.Append(nil, i)})
			}
		case *cluster.Reply:
			<-hold
			if want := fmt.Sprint(heard.Load()); string(m.Value) != want {
				t.Errorf("answer %q, want %s", m.Value, want)
			}
			heard.Add(1)
		}
	}, actor.WithMailbox(actor.Bounded(4))))
	for range 10 {
		if _, err := group.Propose(t.Context(), []byte("b")); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	eventually(t, "every answer in order", func() bool { return heard.Load() == 100 })
	app.Root.Stop(asker)
}

// memoryNode leads a group in memory: a benchmark of it measures the code and no disk.
func memoryNode(b *testing.B, machine actors.StateMachine) *cluster.Group {
	_, group := single(b, "node", machine, cluster.WithFS(vfs.NewMem()))
	eventually(b, "the node leads", func() bool { return leads(group) })
	return group
}

func BenchmarkPropose(b *testing.B) {
	group := memoryNode(b, kv.NewMap())
	k := kv.Open(group)
	value := make([]byte, 128)
	for _, clients := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("put/clients=%d", clients), func(b *testing.B) {
			run(b, clients, func(key string) error { _, err := k.Put(context.Background(), key, value); return err })
		})
		b.Run(fmt.Sprintf("get/clients=%d", clients), func(b *testing.B) {
			run(b, clients, func(key string) error { _, _, _, err := k.Get(context.Background(), key); return err })
		})
	}
}

func run(b *testing.B, clients int, operation func(key string) error) {
	b.ReportAllocs()
	var all sync.WaitGroup
	var next atomic.Int64
	b.ResetTimer()
	for c := range clients {
		all.Go(func() {
			key := fmt.Sprint("key-", c)
			for next.Add(1) <= int64(b.N) {
				if err := operation(key); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
