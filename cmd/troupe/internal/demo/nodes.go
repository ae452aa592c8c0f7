package demo

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wait"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/wires"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// nodes are processes of this same binary, and the network between them.
type nodes struct {
	network *wires.Network
	all     []*node
}

// node is one troupe serve. Its methods may be called from one goroutine; asking for its status from any.
type node struct {
	number  int
	id      string
	clients string // its client address
	args    []string
	logPath string
	status  messagesconnect.ClusterClient
	process *exec.Cmd     // nil: not running
	ended   chan struct{} // closed when the process is gone
}

const size = 3

// startNodes starts the nodes with their data and logs in dir. They end when ctx is done, at the latest.
func startNodes(ctx context.Context, dir string) (*nodes, error) {
	free, err := host.FreeAddresses(ctx, 2*size)
	if err != nil {
		return nil, err
	}
	listen, clients := free[:size], free[size:]
	d := &nodes{}
	if d.network, err = wires.New(listen); err != nil {
		return nil, err
	}
	members := make([]string, size)
	for i := range members {
		members[i] = fmt.Sprintf("n%d=%s", i+1, d.network.Address(i))
	}
	for i := range size {
		n := &node{number: i, id: fmt.Sprintf("n%d", i+1), clients: clients[i]}
		n.logPath = filepath.Join(dir, n.id+".log")
		n.args = []string{
			"serve", "--end-with-input", "--id", n.id, "--data-dir", filepath.Join(dir, n.id),
			"--peer-addr", d.network.Address(i), "--peer-listen", listen[i], "--client-addr", n.clients,
			"--initial-cluster", strings.Join(members, ","),
		}
		n.status = messagesconnect.NewClusterClient(&http.Client{Timeout: 300 * time.Millisecond}, "http://"+n.clients)
		d.all = append(d.all, n)
		if err := n.start(ctx); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (n *node) start(ctx context.Context) error {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program to start it as a node: %w", err)
	}
	log, err := os.OpenFile(n.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.CommandContext(ctx, binary, n.args...)
	process.Stdout, process.Stderr = log, log
	if _, err := process.StdinPipe(); err != nil { // the other end closes with this process, however that ends
		return err
	}
	if err := process.Start(); err != nil {
		return fmt.Errorf("cannot start node %s: %w", n.id, err)
	}
	n.process, n.ended = process, make(chan struct{})
	go func(ended chan struct{}) {
		_ = process.Wait() // its log says why it ended
		close(ended)
	}(n.ended)
	return nil
}

// kill is kill -9. It returns when the process is gone.
func (n *node) kill() {
	if n.process == nil {
		return
	}
	_ = n.process.Process.Kill() // it may have ended by itself
	<-n.ended
	n.process = nil
}

func (d *nodes) close() {
	for _, n := range d.all {
		n.kill()
	}
	d.network.Close()
}

// String names the processes.
func (d *nodes) String() string {
	var names []string
	for _, n := range d.all {
		names = append(names, fmt.Sprintf("%s is process %d", n.id, n.process.Process.Pid))
	}
	return strings.Join(names, ", ")
}

func (d *nodes) clientAddresses() (all []string) {
	for _, n := range d.all {
		all = append(all, n.clients)
	}
	return all
}

// local is what the node says of itself, nil when it says nothing.
func (n *node) local(ctx context.Context) *messages.MemberStatus {
	s, err := n.status.Status(ctx, &messages.StatusRequest{Local: true})
	if err != nil || len(s.GetMembers()) != 1 {
		return nil
	}
	return s.GetMembers()[0]
}

// leader is the node that leads, and nil when none does. One that was cut off may not know yet that it leads no more: the highest
// term counts.
func (d *nodes) leader(ctx context.Context) (leader *node) {
	term := uint64(0)
	for _, n := range d.all {
		if s := n.local(ctx); s.GetRole() == "leader" && s.GetTerm() > term {
			leader, term = n, s.GetTerm()
		}
	}
	return leader
}

// awaitLeader waits until a node leads that is not the given one.
func (d *nodes) awaitLeader(ctx context.Context, but *node) (leader *node, err error) {
	err = d.await(ctx, "no leader is elected", func() bool {
		leader = d.leader(ctx)
		return leader != nil && leader != but
	})
	return leader, err
}

// patience is far more than a node needs for anything.
const patience = 30 * time.Second

// await polls until done says so. It fails after a while, or when a process has ended that should run.
func (d *nodes) await(ctx context.Context, otherwise string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); {
		for _, n := range d.all {
			if n.process != nil && isClosed(n.ended) {
				return fmt.Errorf("node %s ended by itself", n.id)
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s within %v", otherwise, patience)
		}
		if err := wait.For(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
