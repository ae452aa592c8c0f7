package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// Two remotes in one process race inside Proto.Actor (grpclog.SetLoggerV2). A test that starts a node therefore runs in a
// process of its own (alone), and the nodes of a cluster each in another (startProcess).
const (
	envAlone   = "TROUPE_CLUSTER_TEST_ALONE"
	envProcess = "TROUPE_CLUSTER_TEST_NODE"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(envProcess); spec != "" {
		os.Exit(runProcess(spec))
	}
	os.Exit(m.Run())
}

// alone runs the calling test again in a process of its own, and says whether this is that process.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envAlone) == t.Name() {
		return true
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=120s", "-test.v")
	cmd.Env = append(os.Environ(), envAlone+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in its own process: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// nodeSpec is what a node's process is told.
type nodeSpec struct {
	Config  cluster.Config
	Members string
	Groups  []string
	// FailDisk lets POST /test/fail-disk make every later write fail.
	FailDisk bool
}

// What a process says on its standard output.
const (
	saysStarted = "started "
	saysFailed  = "failed "
)

// runProcess is the main of a node's process: it runs until its standard input ends.
func runProcess(text string) int {
	var spec nodeSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		fmt.Println(saysFailed, err)
		return 2
	}
	node, err := startSpec(spec)
	if err != nil {
		fmt.Println(saysFailed + err.Error())
		return 1
	}
	fmt.Println(saysStarted + node.ClientAddr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil && node.Failed() == nil {
		fmt.Println(saysFailed + err.Error())
		return 1
	}
	return 0
}

func startSpec(spec nodeSpec) (*cluster.Node, error) {
	ctx := context.Background()
	if os.Getenv("TROUPE_TEST_LOG") != "" {
		spec.Config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var failing atomic.Bool
	var options []cluster.Option
	if spec.FailDisk {
		options = append(options, cluster.WithFS(failingFS(&failing)))
	}
	node, err := cluster.Start(ctx, spec.Config, options...)
	if err != nil {
		return nil, err
	}
	members, err := cluster.ParseMembers(spec.Members)
	if err != nil {
		return nil, err
	}
	for i, name := range spec.Groups {
		group, err := node.StartGroup(ctx, name, members, kv.NewMap())
		if err != nil {
			return nil, err
		}
		if i == 0 {
			err = kv.Mount(node, group)
		} else {
			path, h := messagesconnect.NewKeyValueHandler(kv.Service(group), cluster.HandlerOptions()...)
			err = node.Handle("/"+name+path, http.StripPrefix("/"+name, h))
		}
		if err != nil {
			return nil, err
		}
	}
	return node, node.Handle("POST /test/fail-disk", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { failing.Store(true) }))
}

// failingFS fails every write once failing is set.
func failingFS(failing *atomic.Bool) vfs.FS {
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	}))
}

// process is a running node.
type process struct {
	t      testing.TB
	spec   nodeSpec
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	url    string
	ended  chan struct{}
	errors *lockedBuffer
	kv     messagesconnect.KeyValueClient
	status messagesconnect.ClusterClient
}

// tryProcess starts a node's process, and returns the sentence with which it failed to start.
func tryProcess(t testing.TB, spec nodeSpec) (*process, string) {
	t.Helper()
	spec.Config.Logger = nil
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, spec: spec, cmd: exec.Command(os.Args[0]), ended: make(chan struct{}), errors: &lockedBuffer{}}
	p.cmd.Env = append(os.Environ(), envProcess+"="+string(text))
	p.cmd.Stderr = p.errors
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.end()
		p.check()
		if t.Failed() {
			t.Logf("node %s said:\n%s", spec.Config.ID, p.errors)
		}
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	line = strings.TrimSuffix(line, "\n")
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	address, started := strings.CutPrefix(line, saysStarted)
	if !started {
		return nil, strings.TrimPrefix(line, saysFailed)
	}
	p.url = "http://" + address
	p.kv = messagesconnect.NewKeyValueClient(http.DefaultClient, p.url)
	p.status = messagesconnect.NewClusterClient(http.DefaultClient, p.url)
	return p, ""
}

func startProcess(t testing.TB, spec nodeSpec) *process {
	t.Helper()
	p, failed := tryProcess(t, spec)
	if failed != "" {
		t.Fatal(failed)
	}
	return p
}

// end shuts the node down and waits for it.
func (p *process) end() {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		p.t.Errorf("node %s does not stop:\n%s", p.spec.Config.ID, p.errors)
	}
}

// kill ends the process as a power cut would, but the disk keeps what was written.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// check looks for what no node may say.
func (p *process) check() {
	for _, bad := range []string{"DATA RACE", "panic:", "panicked"} {
		if strings.Contains(p.errors.String(), bad) {
			p.t.Errorf("node %s said:\n%s", p.spec.Config.ID, p.errors)
			return
		}
	}
	if code := p.cmd.ProcessState.ExitCode(); code > 1 {
		p.t.Errorf("node %s exited with %d:\n%s", p.spec.Config.ID, code, p.errors)
	}
}

// startProcesses starts a cluster of n nodes with fresh directories; snatched ports are chosen again.
func startProcesses(t testing.TB, n int, change func(*nodeSpec)) []*process {
	t.Helper()
	for range 5 {
		var nodes []*process
		var failed string
		for _, spec := range clusterSpecs(t, n) {
			if change != nil {
				change(&spec)
			}
			p, text := tryProcess(t, spec)
			if failed = text; failed != "" {
				break
			}
			nodes = append(nodes, p)
		}
		if failed == "" {
			return nodes
		}
		for _, p := range nodes {
			p.end()
		}
		if !strings.Contains(failed, "address already in use") {
			t.Fatal(failed)
		}
	}
	t.Fatal("no free ports")
	return nil
}

func clusterSpecs(t testing.TB, n int) []nodeSpec {
	t.Helper()
	var members []string
	specs := make([]nodeSpec, n)
	for i := range specs {
		specs[i].Config = cluster.Config{
			ID: fmt.Sprintf("n%d", i+1), DataDir: t.TempDir(),
			PeerAddr: loopback.FreeAddress(t), ClientAddr: loopback.FreeAddress(t), Timing: processTiming(),
		}
		specs[i].Groups = []string{"kv"}
		members = append(members, specs[i].Config.ID+"="+specs[i].Config.PeerAddr)
	}
	for i := range specs {
		specs[i].Members = strings.Join(members, ",")
	}
	return specs
}

// processTiming leaves room for the race detector on a busy machine.
func processTiming() actors.Timing {
	return actors.Timing{Heartbeat: 50 * time.Millisecond, Election: 400 * time.Millisecond}
}

// lockedBuffer is the standard error of a process, read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
