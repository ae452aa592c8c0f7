package transport

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/messages"
	"google.golang.org/protobuf/proto"
)

// Two remotes in one process race inside Proto.Actor (grpclog.SetLoggerV2), so a test that starts a transport runs in a
// process of its own (isolate), and its peers in others (startChild).

const (
	envIsolated = "TROUPE_TRANSPORT_ISOLATED"
	envChild    = "TROUPE_TRANSPORT_CHILD"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(envChild); spec != "" {
		childMain(spec)
		return
	}
	os.Exit(m.Run())
}

// isolate runs the calling test in a process of its own and reports whether this is that process. The prefix is a command
// that runs it.
func isolate(t *testing.T, prefix ...string) bool {
	t.Helper()
	if os.Getenv(envIsolated) == t.Name() {
		return true
	}
	t.Parallel()
	args := []string{"-test.run=^" + t.Name() + "$", "-test.timeout=60s", "-test.v"}
	for _, a := range os.Args[1:] {
		if strings.HasPrefix(a, "-test.gocoverdir=") {
			args = append(args, a)
		}
	}
	cmd := exec.Command(os.Args[0], args...)
	if len(prefix) > 0 {
		cmd = exec.Command(prefix[0], append(append(prefix[1:], os.Args[0]), args...)...)
	}
	cmd.Env = append(os.Environ(), envIsolated+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "DATA RACE") {
		t.Errorf("in its own process: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// childSpec says what a child process does.
type childSpec struct {
	Listen          string
	Peers           []string
	MaxMessageBytes int
	TLS             []string // cert, key, ca
	Namespace       string   // of the network, when not the parent's
	ClusterID       uint64   // that it shows and demands; 0: it knows no strangers
}

// childReport is what a child answers to "stats".
type childReport struct {
	Echoed, Bytes, Bad int64
	Stats              Stats
}

var testTypes = []proto.Message{
	(*messages.RequestVote)(nil), (*messages.RequestVoteReply)(nil),
	(*messages.AppendEntries)(nil), (*messages.AppendEntriesReply)(nil),
}

func testTargets(id string) bool { return strings.HasPrefix(id, "raft/") || id == "node" }

func testConfig(_ testing.TB, listen string, peers ...string) Config {
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	return Config{
		Listen: listen, Peers: peers, AllowTypes: testTypes, AllowTarget: testTargets,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}

// start starts a transport that ends with the test.
func start(t testing.TB, c Config) (*actor.ActorSystem, *Transport) {
	t.Helper()
	system := NewSystem(c.Logger)
	tr, err := Start(system, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Shutdown)
	return system, tr
}

// echo answers RequestVote and AppendEntries, whose entries must hold a repeated byte.
type echo struct{ messages, bytes, bad *atomic.Int64 }

func (e echo) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *messages.RequestVote:
		e.messages.Add(1)
		if c.Sender() != nil {
			c.Request(c.Sender(), &messages.RequestVoteReply{Header: m.Header, Round: m.Round})
		}
	case *messages.AppendEntries:
		e.messages.Add(1)
		for _, b := range m.Entries {
			e.bytes.Add(int64(len(b)))
			if len(b) > 0 && bytes.Count(b, b[:1]) != len(b) {
				e.bad.Add(1)
			}
		}
		if c.Sender() != nil {
			c.Request(c.Sender(), &messages.AppendEntriesReply{Round: m.Round})
		}
	case *actor.Stopping, *actor.Terminated, *actor.Restarting:
		e.bad.Add(1)
	}
}

func spawnEcho(system *actor.ActorSystem, id string) (e echo) {
	e = echo{new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
	if _, err := system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return e }), id); err != nil {
		panic(err)
	}
	return e
}

// childMain is a node with an echo at raft/g. It ends with its standard input.
func childMain(spec string) {
	var s childSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		panic(err)
	}
	system := NewSystem(nil)
	c := Config{Listen: s.Listen, Peers: s.Peers, AllowTypes: testTypes, AllowTarget: testTargets, MaxMessageBytes: s.MaxMessageBytes}
	if len(s.TLS) > 0 {
		var err error
		if c.TLS, err = LoadTLS(s.TLS[0], s.TLS[1], s.TLS[2]); err != nil {
			panic(err)
		}
	}
	if s.ClusterID != 0 {
		knows(&c, s.ClusterID)
	}
	begun := time.Now().UnixNano()
	tr, err := Start(system, c)
	if err != nil {
		panic(err)
	}
	e := spawnEcho(system, "raft/g")
	fmt.Println("ready", begun)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "shutdown" {
			tr.Shutdown()
		}
		r := childReport{Echoed: e.messages.Load(), Bytes: e.bytes.Load(), Bad: e.bad.Load(), Stats: tr.Stats()}
		out, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(out))
	}
}

// A child is a node in another process.
type child struct {
	t     testing.TB
	spec  childSpec
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	begun time.Time // when it was about to listen
	once  sync.Once
}

func startChild(t testing.TB, spec childSpec) *child {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, spec: spec, cmd: exec.Command(os.Args[0]), lines: make(chan string, 16)}
	if spec.Namespace != "" {
		c.cmd = exec.Command("ip", "netns", "exec", spec.Namespace, os.Args[0])
	}
	c.cmd.Env = append(os.Environ(), envChild+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	var begun int64
	if _, err := fmt.Sscanf(c.line(), "ready %d", &begun); err != nil {
		t.Fatal("the child did not start")
	}
	c.begun = time.Unix(0, begun)
	return c
}

func (c *child) line() string {
	select {
	case s := <-c.lines:
		return s
	case <-time.After(10 * time.Second):
		c.t.Error("the child is silent")
		return ""
	}
}

func (c *child) command(s string) (r childReport) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, s+"\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.line()), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *child) stats() childReport { return c.command("stats") }

func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
}

// eventually waits until the condition holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
