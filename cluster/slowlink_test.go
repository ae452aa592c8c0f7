package cluster_test

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
)

// slowLink forwards connections to an address, each way at most so many bytes a second.
func slowLink(t *testing.T, to string, bytesPerSecond int) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	forward := func(from, to net.Conn) {
		defer func() { _, _ = from.Close(), to.Close() }()
		const piece = 8 << 10
		buffer := make([]byte, piece)
		for free := time.Now(); ; {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(n) * time.Second / time.Duration(bytesPerSecond))
			time.Sleep(time.Until(free)) // this is the link's speed
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	all.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, c := range []net.Conn{in, out} { // a link of this speed holds little
				_ = c.(*net.TCPConn).SetReadBuffer(16 << 10)
				_ = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
			}
			all.Go(func() { forward(in, out) })
			all.Go(func() { forward(out, in) })
		}
	})
	return listener.Addr().String()
}

// While one group's snapshot is installed over a slow link, other mail to the same node is late by a part of a heartbeat only, and no group
// loses its leader.
func TestOthersAreHeardBesideATransfer(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends a large snapshot over a slow link")
	}
	t.Parallel()
	const bytesPerSecond, state = 6 << 20, 20 << 20
	specs := clusterSpecs(t, 3)
	listen := specs[2].Config.PeerAddr
	specs[2].Config.PeerListen, specs[2].Config.PeerAddr = listen, slowLink(t, listen, bytesPerSecond)
	specs[0].Config.PeerListen, specs[1].Config.PeerListen = specs[0].Config.PeerAddr, specs[1].Config.PeerAddr
	members := fmt.Sprintf("n1=%s,n2=%s,n3=%s", specs[0].Config.PeerAddr, specs[1].Config.PeerAddr, specs[2].Config.PeerAddr)
	nodes := make([]*process, 3)
	for i := range specs {
		specs[i].Members, specs[i].Groups = members, []string{"kv", "other"}
		specs[i].Config.Limits.SnapshotAfter, specs[i].Config.Limits.LogKeep = 4<<20, 1<<20
		nodes[i] = startProcess(t, specs[i])
	}
	value := make([]byte, 64<<10)
	fill := func(first int) {
		for i := range state / len(value) {
			if err := leader(t, nodes).puts(t, fmt.Sprint("key-", first+i), string(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	founded(t, nodes, "kv", "other")
	nodes[2].end()
	nodes = nodes[:2]
	fill(0)
	lead := leader(t, nodes)
	status := func() *messages.StatusResponse {
		r, err := lead.status.Status(t.Context(), &messages.StatusRequest{Group: "other"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	term := termOf(status())
	third := startProcess(t, specs[2])
	eventually(t, "the snapshot is on its way", func() bool { return replicationTo(t, lead, "n3") == "installing" })
	// The answer waits for n3's, and the question goes the way of heartbeats.
	var took []time.Duration
	for replicationTo(t, lead, "n3") == "installing" {
		began := time.Now()
		r := status()
		took = append(took, time.Since(began))
		if !r.Members[2].Reachable {
			t.Errorf("n3 did not answer within %v: %v", took[len(took)-1], r.Members[2])
		}
		time.Sleep(10 * time.Millisecond) // between two questions
	}
	if len(took) < 20 {
		t.Fatalf("the transfer was over after %d questions", len(took))
	}
	slices.Sort(took)
	t.Logf("%d questions beside the transfer: half took up to %v, the slowest %v", len(took), took[len(took)/2], took[len(took)-1])
	if most := took[len(took)*95/100]; most > 150*time.Millisecond {
		t.Errorf("a question of 20 takes more than %v", most)
	}
	eventually(t, "n3 has all", func() bool { return replicationTo(t, lead, "n3") == "streaming" })
	if now := termOf(status()); now != term {
		t.Errorf("the other group had an election: term %d, then %d", term, now)
	}
	third.end()
}

func replicationTo(t *testing.T, leader *process, id string) string {
	r, err := leader.status.Status(t.Context(), &messages.StatusRequest{Group: "kv"})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Members {
		if m.Id == id {
			return m.Replication
		}
	}
	return ""
}

// founded waits until groups are founded, and every node knows it.
func founded(t *testing.T, nodes []*process, groups ...string) {
	for _, group := range groups {
		eventually(t, "the group is founded on all nodes", func() bool {
			for _, n := range nodes {
				r, err := n.status.Status(t.Context(), &messages.StatusRequest{Group: group, Local: true})
				if err != nil || r.Members[0].CommitIndex == 0 {
					return false
				}
			}
			return true
		})
	}
}

func termOf(r *messages.StatusResponse) (term uint64) {
	for _, m := range r.Members {
		term = max(term, m.Term)
	}
	return term
}
