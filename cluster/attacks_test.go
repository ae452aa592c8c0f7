package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/attacker"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
)

// TestAttacks measures what attacks on the leader's client port do to a cluster: the memory of the leader, small writes of others,
// elections. It is for looking at, and runs only when TROUPE_ATTACKS names a binary of troupe:
//
//	go build -o /tmp/troupe ./cmd/troupe && TROUPE_ATTACKS=/tmp/troupe go test ./cluster -run TestAttacks -v
func TestAttacks(t *testing.T) {
	binary := os.Getenv("TROUPE_ATTACKS")
	if binary == "" {
		t.Skip("TROUPE_ATTACKS names no binary")
	}
	for _, a := range []struct {
		name string
		run  func(t *testing.T, address string, end time.Time) string
	}{
		{"nothing", func(*testing.T, string, time.Time) string { time.Sleep(5 * time.Second); return "" }},
		{"answers that are not read", unreadAnswers},
		{"small answers that are not read", smallUnreadAnswers},
		{"open bodies", openBodies},
		{"stalled bodies", stalledBodies},
		{"idle connections", idleConnections},
		{"rapid reset", rapidReset},
		{"large writes", largeWrites},
		{"compressed bodies", compressedBodies},
	} {
		t.Run(a.name, func(t *testing.T) {
			c := startCommands(t, binary)
			others := c.others()
			said := a.run(t, c.leaderAddress(), time.Now().Add(attackTime))
			t.Logf("%s\n%s\n%s", said, others(), c.memory())
			t.Log(c.elections())
		})
	}
}

const attackTime = 15 * time.Second

// unreadAnswers: one connection with a window of 0 asks 2000 times for a value of 1 MiB.
func unreadAnswers(t *testing.T, address string, end time.Time) string {
	k := client.New([]string{address})
	defer k.Close()
	if _, err := k.Put(t.Context(), "large", make([]byte, kv.MaxValueBytes)); err != nil {
		t.Fatal(err)
	}
	a := mustDial(t, address, 0)
	said := make(chan map[string]int, 1)
	go func() { said <- a.Drain() }()
	for range 2000 {
		if a.Call(keyValue+"Get", &messages.GetRequest{Key: "large"}) != nil {
			break
		}
	}
	time.Sleep(time.Until(end))
	_ = a.Close()
	return fmt.Sprint(<-said)
}

// smallUnreadAnswers: 20 connections with a window of 0 write 2000 times each.
func smallUnreadAnswers(t *testing.T, address string, end time.Time) string {
	return connections(t, 20, address, 0, func(a *attacker.Conn, _ int) {
		for range 2000 {
			if a.Call(keyValue+"Put", &messages.PutRequest{Key: "k"}) != nil {
				break
			}
		}
		time.Sleep(time.Until(end))
	})
}

// openBodies: 20 connections begin 2000 requests each, whose bodies do not end.
func openBodies(t *testing.T, address string, end time.Time) string {
	return connections(t, 20, address, 1<<16, func(a *attacker.Conn, _ int) {
		for range 2000 {
			stream, err := a.Begin(keyValue+"Put", -1)
			if err != nil || a.Send(stream, []byte("x"), false) != nil {
				break
			}
		}
		time.Sleep(time.Until(end))
	})
}

// stalledBodies: 255 connections send all of a large body but its last byte.
func stalledBodies(t *testing.T, address string, end time.Time) string {
	var all sync.WaitGroup
	var answers sync.Map
	for range 255 {
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(end)
			_, _ = fmt.Fprintf(conn, "POST %sPut HTTP/1.1\r\nHost: x\r\n"+
				"Content-Type: application/proto\r\nContent-Length: %d\r\n\r\n", keyValue, 520<<10+1)
			_, _ = conn.Write(make([]byte, 520<<10))
			line, _ := bufio.NewReader(conn).ReadString('\n')
			n, _ := answers.LoadOrStore(line, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		})
	}
	all.Wait()
	text := ""
	answers.Range(func(line, n any) bool {
		text += fmt.Sprintf("%q: %d ", line, n.(*atomic.Int64).Load())
		return true
	})
	return text
}

// idleConnections: 10000 connections that say nothing more than hello.
func idleConnections(t *testing.T, address string, end time.Time) string {
	return connections(t, 10000, address, 1<<16, func(*attacker.Conn, int) { time.Sleep(time.Until(end)) })
}

// rapidReset: 8 connections begin requests and reset them at once.
func rapidReset(t *testing.T, address string, end time.Time) string {
	var streams atomic.Int64
	said := connections(t, 8, address, 1<<16, func(a *attacker.Conn, _ int) {
		for time.Now().Before(end) {
			stream, err := a.Begin(keyValue+"Get", 100)
			if err != nil || a.Frames.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				return
			}
			streams.Add(1)
		}
	})
	return fmt.Sprintf("%d resets, %s", streams.Load(), said)
}

// largeWrites: 256 writers of 1 MiB.
func largeWrites(_ *testing.T, address string, end time.Time) string {
	k := client.New([]string{address})
	defer k.Close()
	return writers(256, end, func(ctx context.Context, i int) error {
		_, err := k.Put(ctx, fmt.Sprint("large", i), make([]byte, kv.MaxValueBytes))
		return err
	})
}

// compressedBodies: 4 connections send small bodies that unpack to much, 1000 each.
func compressedBodies(t *testing.T, address string, end time.Time) string {
	bomb := attacker.Gzipped(4<<20 - 100)
	return connections(t, 4, address, 1<<16, func(a *attacker.Conn, _ int) {
		for i := 0; i < 1000 && time.Now().Before(end); i++ {
			stream, err := a.Begin(keyValue+"Put", len(bomb), "content-encoding", "gzip")
			if err != nil || a.Send(stream, bomb, true) != nil {
				return
			}
		}
		time.Sleep(time.Until(end))
	})
}

func mustDial(t testing.TB, address string, window uint32) *attacker.Conn {
	t.Helper()
	a, err := attacker.Dial(address, window)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// connections runs an attack on many connections, and sums up what the server answered.
func connections(t *testing.T, n int, address string, window uint32, run func(a *attacker.Conn, i int)) string {
	var all sync.WaitGroup
	var mu sync.Mutex
	sum := map[string]int{}
	for i := range n {
		all.Go(func() {
			a, err := attacker.Dial(address, window)
			if err != nil {
				mu.Lock()
				sum["no connection"]++
				mu.Unlock()
				return
			}
			said := make(chan map[string]int, 1)
			go func() { said <- a.Drain() }()
			run(a, i)
			_ = a.Close()
			mu.Lock()
			defer mu.Unlock()
			for what, times := range <-said {
				if what, _, _ = strings.Cut(what, " tcp "); what != "" {
					sum[what] += times
				}
			}
		})
	}
	all.Wait()
	text := fmt.Sprint(sum)
	return text[:min(len(text), 300)]
}

// writers repeat a call until the end, and say what it came to.
func writers(n int, end time.Time, call func(ctx context.Context, i int) error) string {
	var all sync.WaitGroup
	var done, failed atomic.Int64
	var last atomic.Value
	for i := range n {
		all.Go(func() {
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				if err := call(ctx, i); err != nil {
					failed.Add(1)
					last.Store(err.Error())
				} else {
					done.Add(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	return fmt.Sprintf("%d calls succeeded, %d failed (%v)", done.Load(), failed.Load(), last.Load())
}

// commands are three processes of troupe serve.
type commands struct {
	t       testing.TB
	binary  string
	clients []string
	pids    []int
	logs    []string
	leader  int
	term    string
}

func startCommands(t testing.TB, binary string) *commands {
	t.Helper()
	dir := t.TempDir()
	c := &commands{t: t, binary: binary}
	var members, peers []string
	for i := range 3 {
		peers = append(peers, loopback.FreeAddress(t))
		c.clients = append(c.clients, loopback.FreeAddress(t))
		members = append(members, fmt.Sprintf("n%d=%s", i+1, peers[i]))
	}
	for i := range 3 {
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("log%d", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "serve", "--id", fmt.Sprintf("n%d", i+1), "--data-dir", filepath.Join(dir, fmt.Sprintf("n%d", i+1)),
			"--peer-addr", peers[i], "--client-addr", c.clients[i], "--initial-cluster", strings.Join(members, ","))
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
		c.pids, c.logs = append(c.pids, cmd.Process.Pid), append(c.logs, log.Name())
	}
	eventually(t, "the cluster leads", func() bool { return c.find() })
	return c
}

// find asks who leads.
func (c *commands) find() bool {
	k := client.New(c.clients)
	defer k.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	status, err := k.Status(ctx)
	if err != nil || status.GetLeader() == "" {
		return false
	}
	c.leader = int(status.GetLeader()[1]-'0') - 1
	if c.term == "" {
		c.term = fmt.Sprint(status.GetMembers()[c.leader].GetTerm())
	}
	return status.GetMembers()[c.leader].GetTerm() > 0
}

func (c *commands) leaderAddress() string { return c.clients[c.leader] }

// others writes small values all the time, and asks for the health page.
func (c *commands) others() (result func() string) {
	stop, ended := make(chan struct{}), make(chan string)
	go func() {
		k := client.New(c.clients)
		defer k.Close()
		var took []time.Duration
		failed, last, sick := 0, "", 0
		for {
			select {
			case <-stop:
				slices.Sort(took)
				ended <- fmt.Sprintf("others: %d writes, %d failed, median %v, slowest %v %s; sick %d times",
					len(took), failed, took[len(took)/2], took[len(took)-1], last, sick)
				return
			case <-time.After(20 * time.Millisecond):
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			start := time.Now()
			if _, err := k.Put(ctx, "small", []byte("v")); err != nil {
				failed, last = failed+1, err.Error()
			}
			took = append(took, time.Since(start))
			if exec.CommandContext(ctx, "curl", "-sf", "-m", "1", "http://"+c.leaderAddress()+"/healthz").Run() != nil {
				sick++
			}
			cancel()
		}
	}()
	return func() string { close(stop); return <-ended }
}

// memory says what the leader has, and had at most.
func (c *commands) memory() string {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", c.pids[c.leader]))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	var lines []string
	for s := bufio.NewScanner(file); s.Scan(); {
		if strings.HasPrefix(s.Text(), "VmHWM") || strings.HasPrefix(s.Text(), "VmRSS") {
			lines = append(lines, strings.Join(strings.Fields(s.Text()), " "))
		}
	}
	return strings.Join(lines, ", ")
}

// elections says how the term rose, with what the nodes logged of it.
func (c *commands) elections() string {
	before := c.term
	c.term = ""
	c.find()
	text := fmt.Sprintf("term %s before, %s after", before, c.term)
	for _, log := range c.logs {
		content, _ := os.ReadFile(log)
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		for _, line := range lines {
			if strings.Contains(line, "steps down") || strings.Contains(line, "leader") ||
				strings.Contains(line, "WARN") || strings.Contains(line, "ERROR") {
				text += "\n" + filepath.Base(log) + ": " + line
			}
		}
	}
	return text
}
