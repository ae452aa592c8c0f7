//go:build unix

package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// A key's version counts its writes. Leaders are killed, and each connection of the clients breaks at some byte, of a request or of an
// answer: every write counts exactly once.
func TestCounterBehindBreakingConnections(t *testing.T) {
	t.Parallel()
	c := newProcesses(t)
	cuts := make([]*cutter, len(c.all))
	for i, p := range c.all {
		listen := freeAddresses(t, 1)[0]
		p.args = append(p.args, "--client-listen", listen)
		p.status = messagesconnect.NewClusterClient(&http.Client{Timeout: time.Second}, "http://"+listen)
		cuts[i] = newCutter(t, p.clients, listen)
		p.start()
	}
	c.awaitLeader()
	var (
		added   atomic.Uint64
		stop    = make(chan struct{})
		writers sync.WaitGroup
		client  = c.client()
	)
	for range 8 {
		writers.Go(func() {
			for seen := uint64(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				version, err := client.Put(ctx, "counter", []byte("one more"))
				cancel()
				if err != nil || version <= seen {
					t.Errorf("a write has version %d after %d, and the error %v", version, seen, err)
					return
				}
				seen = version
				added.Add(1)
			}
		})
	}
	more := func() {
		goal := added.Load() + 200
		eventually(t, 60*time.Second, "200 more writes are acknowledged", func() bool { return added.Load() >= goal || t.Failed() })
	}
	for range rounds(5, 30) {
		more()
		leader := c.awaitLeader()
		leader.kill()
		more()
		leader.start()
	}
	close(stop)
	writers.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, version, _, err := client.Get(ctx, "counter")
	if err != nil || version != added.Load() {
		t.Errorf("%d writes were acknowledged, but the counter is at %d; %v", added.Load(), version, err)
	}
	broken := cuts[0].broken.Load() + cuts[1].broken.Load() + cuts[2].broken.Load()
	t.Logf("%d writes, each once, while %d connections broke", added.Load(), broken)
	if broken < int64(rounds(10, 50)) {
		t.Errorf("only %d connections broke", broken)
	}
}

// cutter stands between clients and a node, and breaks each connection after a random number of bytes of either direction.
type cutter struct {
	node   string
	broken atomic.Int64
}

func newCutter(t *testing.T, address, node string) *cutter {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := &cutter{node: node}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.carry(client)
		}
	}()
	return c
}

// carry ends both connections once one of them ends, or has carried what it may.
func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	node, err := net.Dial("tcp", c.node)
	if err != nil {
		return
	}
	defer node.Close()
	ends := make(chan int64, 2)
	pipe := func(to, from net.Conn, limit int64) {
		n, _ := io.CopyN(to, from, limit)
		ends <- limit - n
	}
	go pipe(node, client, 1_000+rand.N[int64](8_000))
	go pipe(client, node, 1_000+rand.N[int64](8_000))
	if <-ends == 0 {
		c.broken.Add(1)
	}
}
