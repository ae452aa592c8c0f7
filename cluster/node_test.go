package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/kv"
)

func TestSingleNodeKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	first := startProcesses(t, 1, nil)[0]
	leader(t, []*process{first})
	if err := first.puts(t, "k", "v"); err != nil {
		t.Fatal(err)
	}
	first.end()
	second := startProcess(t, first.spec)
	leader(t, []*process{second})
	if value, err := second.gets(t, "k"); value != "v" || err != nil {
		t.Fatalf("%q %v", value, err)
	}
	second.kill()
	third := startProcess(t, first.spec)
	leader(t, []*process{third})
	if value, err := third.gets(t, "k"); value != "v" || err != nil {
		t.Fatalf("%q %v", value, err)
	}
}

func TestStartRefusesAnothersDirectory(t *testing.T) {
	t.Parallel()
	p := startProcesses(t, 1, nil)[0]
	leader(t, []*process{p})
	refused := func(change func(*nodeSpec), says ...string) {
		t.Helper()
		spec := p.spec
		spec.Config.PeerAddr, spec.Config.ClientAddr = loopback.FreeAddress(t), loopback.FreeAddress(t)
		spec.Members = "n1=" + spec.Config.PeerAddr
		change(&spec)
		_, failed := tryProcess(t, spec)
		mustContain(t, errors.New(failed), says...)
	}
	refused(func(*nodeSpec) {}, "in use", p.spec.Config.DataDir)
	p.end()
	refused(func(s *nodeSpec) {
		s.Config.ID = "other"
		s.Members = "other=" + s.Config.PeerAddr
	}, "belongs to node n1, not other")
	refused(func(s *nodeSpec) { s.Config.Cluster = "another" }, `belongs to the cluster named "troupe"`)
}

// All addresses have changed, and then two nodes change places: the log names others than the list that the nodes are started with.
func TestNodesComeBackAtOtherAddresses(t *testing.T) {
	t.Parallel()
	all := startProcesses(t, 3, nil)
	if err := leader(t, all).puts(t, "k", "v"); err != nil {
		t.Fatal(err)
	}
	first, second, third := loopback.FreeAddress(t), loopback.FreeAddress(t), loopback.FreeAddress(t)
	comeBack(t, all, first, second, third)
	comeBack(t, all, second, first, third)
}

// comeBack restarts all nodes at these addresses, and waits until the group knows that.
func comeBack(t *testing.T, all []*process, addresses ...string) {
	t.Helper()
	var members []string
	for i, p := range all {
		p.end()
		p.spec.Config.PeerAddr = addresses[i]
		members = append(members, p.spec.Config.ID+"="+p.spec.Config.PeerAddr)
	}
	for i, p := range all {
		p.spec.Members = strings.Join(members, ",")
		all[i] = startProcess(t, p.spec)
	}
	l := leader(t, all)
	if value, err := l.gets(t, "k"); value != "v" || err != nil {
		t.Fatalf("%q %v", value, err)
	}
	c := client.New([]string{l.spec.Config.ClientAddr})
	defer c.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, err := c.Members(context.Background(), "")
		var now []string
		for _, m := range got.GetMembers() {
			now = append(now, m.GetId()+"="+m.GetAddress())
		}
		if slices.Equal(now, members) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the group has the addresses %v, not %v (%v)", now, members, err)
		}
	}
}

func TestAMemberListThatDiffersIsIgnored(t *testing.T) {
	t.Parallel()
	p := startProcesses(t, 1, nil)[0]
	leader(t, []*process{p})
	p.end()
	spec := p.spec
	spec.Members += ",n2=" + loopback.FreeAddress(t)
	again := startProcess(t, spec)
	leader(t, []*process{again})
	if !strings.Contains(again.errors.String(), "of the list given only addresses count") {
		t.Fatalf("no warning in:\n%s", again.errors)
	}
}

type refusedConfig struct {
	change func(*cluster.Config)
	says   string
}

// refusedConfigs are what Start refuses. Somebody listens at taken, and file is no directory.
func refusedConfigs(taken, file string) map[string]refusedConfig {
	return map[string]refusedConfig{
		"empty id":             {func(c *cluster.Config) { c.ID = "" }, "node id is empty"},
		"bad id":               {func(c *cluster.Config) { c.ID = "a/b" }, `'/'`},
		"long id":              {func(c *cluster.Config) { c.ID = strings.Repeat("x", 65) }, "at most 64"},
		"no directory":         {func(c *cluster.Config) { c.DataDir = "" }, "needs a data directory"},
		"directory is a file":  {func(c *cluster.Config) { c.DataDir = file }, file},
		"no peer address":      {func(c *cluster.Config) { c.PeerAddr = "" }, "needs a peer address"},
		"peer without port":    {func(c *cluster.Config) { c.PeerAddr = "localhost" }, "not host:port"},
		"peer port 0":          {func(c *cluster.Config) { c.PeerAddr = "127.0.0.1:0" }, "port 0"},
		"peer port too large":  {func(c *cluster.Config) { c.PeerAddr = "127.0.0.1:70000" }, "up to 65535"},
		"peer port not number": {func(c *cluster.Config) { c.PeerAddr = "127.0.0.1:http" }, "up to 65535"},
		"peer everywhere":      {func(c *cluster.Config) { c.PeerAddr = "0.0.0.0:7001" }, "cannot be dialed"},
		"peer without host":    {func(c *cluster.Config) { c.PeerAddr = ":7001" }, "no usable host"},
		"peer listen":          {func(c *cluster.Config) { c.PeerListen = "x" }, "not host:port"},
		"peer port taken":      {func(c *cluster.Config) { c.PeerAddr = taken }, "another node running there"},
		"client address":       {func(c *cluster.Config) { c.ClientAddr = "nonsense" }, "client address"},
		"client listen":        {func(c *cluster.Config) { c.ClientListen = "x:y" }, "up to 65535"},
		"only client listen":   {func(c *cluster.Config) { c.ClientAddr, c.ClientListen = "", ":0" }, "no client address"},
		"client port taken":    {func(c *cluster.Config) { c.ClientAddr = taken }, "is taken"},
		"timing":               {func(c *cluster.Config) { c.Timing.Heartbeat = time.Hour }, "at least twice the heartbeat"},
		"limits":               {func(c *cluster.Config) { c.Limits.AdmittedBytes = 1 }, "admitted bytes"},
		"limits of clients":    {func(c *cluster.Config) { c.Clients.Requests = -1 }, "-1 requests under way"},
		"foreign peer host":    {func(c *cluster.Config) { c.PeerAddr = "192.0.2.1:7001" }, "of this machine"},
		"foreign client host":  {func(c *cluster.Config) { c.ClientAddr = "192.0.2.1:1" }, "address of this machine"},
		"one port for both":    {func(c *cluster.Config) { c.ClientAddr = c.PeerAddr }, "cannot share"},
		"no certificate": {func(c *cluster.Config) {
			c.TLS = &cluster.TLS{CertFile: file, KeyFile: file, CAFile: file}
		}, "certificate"},
	}
}

func TestStartErrorsAreSentences(t *testing.T) {
	if !alone(t) {
		return
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for name, c := range refusedConfigs(taken.Addr().String(), file) {
		t.Run(name, func(t *testing.T) {
			config := cluster.Config{
				ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t), ClientAddr: "127.0.0.1:0",
				Logger: testLogger(t),
			}
			c.change(&config)
			node, err := cluster.Start(t.Context(), config)
			if node != nil {
				shutdown(t, node)
			}
			mustContain(t, err, c.says)
			if strings.ContainsAny(err.Error(), "\n\t") {
				t.Fatalf("%q is no sentence", err)
			}
			if left, _ := os.ReadDir(config.DataDir); len(left) > 0 && config.DataDir != file {
				t.Fatalf("it leaves %v in the data directory", left)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	config := cluster.Config{ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t)}
	if _, err := cluster.Start(ctx, config); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	settles(t, before)
}

// settles waits until no more goroutines run than before, give or take what the runtime keeps.
func settles(t testing.TB, before int) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStartGroupErrorsAreSentences(t *testing.T) {
	if !alone(t) {
		return
	}
	node, group := single(t, t.TempDir(), kv.NewMap())
	self := actors.Member{ID: "n1", Address: node.PeerAddr()}
	for name, c := range map[string]struct {
		group   string
		members []actors.Member
		machine actors.StateMachine
		says    string
	}{
		"again":            {"kv", []actors.Member{self}, kv.NewMap(), "started on this node already"},
		"no name":          {"", []actors.Member{self}, kv.NewMap(), "group name is empty"},
		"bad name":         {"a b", []actors.Member{self}, kv.NewMap(), `' '`},
		"no machine":       {"g", []actors.Member{self}, nil, "needs a state machine"},
		"no members":       {"g", nil, kv.NewMap(), "not among the members"},
		"not among them":   {"g", []actors.Member{{ID: "n2", Address: "127.0.0.1:1"}}, kv.NewMap(), "not among the members"},
		"another address":  {"g", []actors.Member{{ID: "n1", Address: "127.0.0.1:1"}}, kv.NewMap(), "make them equal"},
		"member twice":     {"g", []actors.Member{self, self}, kv.NewMap(), "listed twice"},
		"one address":      {"g", []actors.Member{self, {ID: "n2", Address: self.Address}}, kv.NewMap(), "the same address"},
		"member bad port":  {"g", []actors.Member{self, {ID: "n2", Address: "h:0"}}, kv.NewMap(), "port 0"},
		"member no id":     {"g", []actors.Member{self, {Address: "h:1"}}, kv.NewMap(), "member id is empty"},
		"member no addres": {"g", []actors.Member{self, {ID: "n2"}}, kv.NewMap(), "has no address"},
	} {
		_, err := node.StartGroup(t.Context(), c.group, c.members, c.machine)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found, ok := node.Group("kv"); !ok || found != group {
		t.Fatal(found, ok)
	}
	if _, ok := node.Group("g"); ok {
		t.Fatal("a group that was refused is there")
	}
	bad := []actors.Member{self, {ID: "n2", Address: "127.0.0.1:1"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.StartGroup(ctx, "cancelled", bad, kv.NewMap()); !errors.Is(err, context.Canceled) && err != nil {
		t.Fatal(err)
	}
	shutdown(t, node)
	_, err := node.StartGroup(t.Context(), "late", []actors.Member{self}, kv.NewMap())
	mustContain(t, err, "stopping")
}

func TestShutdownLeavesNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	before := runtime.NumGoroutine()
	node, group := single(t, t.TempDir(), kv.NewMap())
	eventually(t, "the node leads", func() bool { return leads(group) })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := node.Shutdown(over); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for range 3 {
		shutdown(t, node)
	}
	if err := node.Shutdown(noContext); err != nil {
		t.Fatal(err)
	}
	select {
	case <-node.Done():
	default:
		t.Fatal("Done is open after Shutdown")
	}
	if _, err := group.Propose(t.Context(), []byte("x")); !errors.Is(err, actors.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := group.Read(t.Context(), []byte("x")); !errors.Is(err, actors.ErrClosed) {
		t.Fatal(err)
	}
	settles(t, before)
}

// stale reads what the node has applied.
type stale struct{ *cluster.Group }

func (s stale) Query(ctx context.Context, _ cluster.ReadOptions, query []byte) (cluster.Result, error) {
	value, err := s.ReadStale(ctx, query)
	return cluster.Result{Value: value}, err
}

// TestFailingDisk: the process lives, says so, and ends in time; nothing is acknowledged after the failure.
func TestFailingDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	var failing atomic.Bool
	node, group := single(t, t.TempDir(), kv.NewMap(), cluster.WithFS(failingFS(&failing)))
	eventually(t, "the node leads", func() bool { return leads(group) })
	store := kv.Open(group)
	if _, err := store.Put(t.Context(), "k", []byte("before")); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	_, err := store.Put(t.Context(), "k", []byte("lost"))
	if !errors.Is(err, actors.ErrOutcomeUnknown) && !errors.Is(err, actors.ErrStorageFailed) {
		t.Fatal(err)
	}
	eventually(t, "the node knows", func() bool { return node.Failed() != nil })
	eventually(t, "the group knows", func() bool { return group.Status().Role == actors.Failed })
	if _, err := store.Put(t.Context(), "k", []byte("after")); !errors.Is(err, actors.ErrStorageFailed) {
		t.Fatal(err)
	}
	if _, _, _, err := store.Get(t.Context(), "k"); !errors.Is(err, actors.ErrStorageFailed) {
		t.Fatal(err)
	}
	if value, _, _, err := kv.Open(stale{group}).Get(t.Context(), "k"); err != nil || string(value) != "before" {
		t.Fatalf("what was applied before the failure cannot be read: %q, %v", value, err)
	}
	self := []actors.Member{{ID: "n1", Address: node.PeerAddr()}}
	_, err = node.StartGroup(t.Context(), "late", self, kv.NewMap())
	mustContain(t, err, "cannot be started", "disk")
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mustContain(t, node.Shutdown(ctx), "disk")
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("Shutdown took %v", took)
	}
}

// TestGroupsStartWhileTheNodeStops: every group either runs or was refused, and nothing stays behind.
func TestGroupsStartWhileTheNodeStops(t *testing.T) {
	if !alone(t) {
		return
	}
	before := runtime.NumGoroutine()
	node, group := single(t, t.TempDir(), kv.NewMap())
	self := group.Members()
	var all sync.WaitGroup
	var started atomic.Int64
	for i := range 50 {
		all.Go(func() {
			g, err := node.StartGroup(t.Context(), fmt.Sprint("g", i), self, kv.NewMap())
			if err != nil {
				if !strings.Contains(err.Error(), "stopping") {
					t.Error(err)
				}
				return
			}
			started.Add(1)
			if _, err := kv.Open(g).Put(t.Context(), "k", nil); err != nil && !errors.Is(err, actors.ErrClosed) &&
				!errors.Is(err, actors.ErrOutcomeUnknown) && !errors.Is(err, actors.ErrNotLeader) {
				t.Error(err)
			}
		})
	}
	eventually(t, "some groups run", func() bool { return started.Load() > 5 })
	shutdown(t, node)
	all.Wait()
	if got, want := len(node.Groups()), int(started.Load())+1; got != want {
		t.Errorf("%d groups on the node, %d started", got, want)
	}
	settles(t, before)
}
