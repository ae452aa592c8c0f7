//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// process is one troupe serve, which may be ended and started again.
type process struct {
	t          *testing.T
	id         string
	peers      string // its peer address
	clients    string // its client address
	args       []string
	logPath    string
	status     messagesconnect.ClusterClient
	cmd        *exec.Cmd // nil: not running
	ended      chan struct{}
	endedError error
}

// processes are a cluster of processes.
type processes struct {
	t    *testing.T
	dir  string // has their directories and logs
	all  []*process
	list string // --initial-cluster
}

// startProcesses starts a cluster of three and waits for its leader. Whatever happens, nothing is left when the test ends.
func startProcesses(t *testing.T, extra ...string) *processes {
	t.Helper()
	c := newProcesses(t, extra...)
	for _, p := range c.all {
		p.start()
	}
	c.awaitLeader()
	c.awaitAgreement() // while only the leader knows that the group is founded, the group needs it
	return c
}

func newProcesses(t *testing.T, extra ...string) *processes {
	t.Helper()
	const size = 3
	addresses := freeAddresses(t, 2*size)
	dir := t.TempDir()
	c := &processes{t: t, dir: dir}
	var list []string
	for i := range size {
		list = append(list, fmt.Sprintf("n%d=%s", i+1, addresses[i]))
	}
	c.list = strings.Join(list, ",")
	for i := range size {
		c.add(fmt.Sprintf("n%d", i+1), addresses[i], addresses[size+i], append([]string{"--initial-cluster", c.list}, extra...)...)
	}
	t.Cleanup(func() {
		for _, p := range c.all {
			p.kill()
			if t.Failed() {
				log, _ := os.ReadFile(p.logPath)
				t.Logf("log of %s:\n%s", p.id, tail(string(log), 40))
			}
		}
	})
	return c
}

// add makes a process, and does not start it.
func (c *processes) add(id, peers, clients string, flags ...string) *process {
	p := &process{t: c.t, id: id, peers: peers, clients: clients, logPath: filepath.Join(c.dir, id+".log")}
	p.args = append([]string{
		"serve", "--id", id, "--data-dir", filepath.Join(c.dir, id), "--peer-addr", peers, "--client-addr", clients,
	}, flags...)
	p.status = messagesconnect.NewClusterClient(&http.Client{Timeout: time.Second}, "http://"+clients)
	c.all = append(c.all, p)
	return p
}

// given are the addresses that tests have, also before anything listens there.
var given sync.Map

// freeAddresses returns loopback addresses that no other test gets, and none of the programs that tests start: while the nodes
// of a test start again, a demo's could take theirs, and answer its clients. Nor does the system give them to connections.
func freeAddresses(t *testing.T, count int) (addresses []string) {
	t.Helper()
	const lowest, ports, attempts = 15000, 3000, 1000
	for range attempts {
		if len(addresses) == count {
			return addresses
		}
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.N(ports))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			addresses = append(addresses, address)
		}
	}
	t.Fatal("cannot find free ports on 127.0.0.1")
	return nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(builtBinary(p.t), p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("cannot start %s: %v", p.id, err)
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		p.endedError = cmd.Wait()
		close(ended)
	}(p.ended)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("cannot send %v to %s (process %d): %v", s, p.id, p.cmd.Process.Pid, err)
	}
}

// freeze is SIGSTOP; it waits until the process does nothing any more.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	eventually(p.t, 10*time.Second, p.id+" is stopped", func() bool {
		state, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(p.cmd.Process.Pid)).Output()
		return err == nil && strings.HasPrefix(strings.TrimSpace(string(state)), "T")
	})
}

// kill is kill -9; it waits until the process is gone. A process that does not run is left alone.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
	p.cmd = nil
}

// wait waits until the process has ended by itself and returns its exit code.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s still runs after %v", p.id, limit)
	}
	code := p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code
}

// local is what the process says of itself, nil when it says nothing.
func (p *process) local() *messages.MemberStatus {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s, err := p.status.Status(ctx, &messages.StatusRequest{Local: true})
	if err != nil || len(s.GetMembers()) != 1 {
		return nil
	}
	return s.GetMembers()[0]
}

// awaitLeader returns the process that leads.
func (c *processes) awaitLeader() (leader *process) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, "a process leads and has a follower", func() bool {
		leader = nil
		roles := map[string]int{}
		for _, p := range c.all {
			if p.cmd == nil {
				continue
			}
			m := p.local()
			roles[m.GetRole()]++
			if m.GetRole() == "leader" {
				leader = p
			}
		}
		return roles["leader"] == 1 && roles["follower"] >= 1
	})
	return leader
}

// awaitAgreement waits until all processes have applied the same.
func (c *processes) awaitAgreement() {
	c.t.Helper()
	eventually(c.t, 20*time.Second, "all processes have applied the same", func() bool {
		indexes := map[uint64]bool{}
		for _, p := range c.all {
			m := p.local()
			if m.GetAppliedIndex() == 0 || m.GetAppliedIndex() != m.GetLastIndex() {
				return false
			}
			indexes[m.GetAppliedIndex()] = true
		}
		return len(indexes) == 1
	})
}

func (c *processes) endpoints() []string {
	var list []string
	for _, p := range c.all {
		list = append(list, p.clients)
	}
	return list
}

// client is closed when the test ends.
func (c *processes) client() *client.Client {
	cl := client.New(c.endpoints())
	c.t.Cleanup(cl.Close)
	return cl
}

// troupe runs a command with the cluster's endpoints.
func (c *processes) troupe(args ...string) outcome {
	c.t.Helper()
	return troupe(c.t, "", append(args, "--endpoints", strings.Join(c.endpoints(), ","))...)
}

func isUnknown(err error) bool { return errors.Is(err, client.ErrOutcomeUnknown) }

func (p *process) log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}
