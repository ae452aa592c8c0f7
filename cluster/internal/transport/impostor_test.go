package transport

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"

	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/internal/testlog"
)

// Somebody greets 50 times a second in the name of all peers, one of which has sent nothing yet. Connections that work go on working,
// and the log stays short.
func TestAnImpostorBreaksNothing(t *testing.T) {
	if !isolate(t) {
		return
	}
	followers := []string{loopback.FreeAddress(t), loopback.FreeAddress(t)}
	peers := append(followers, loopback.FreeAddress(t))
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0", peers...)
	c.Logger = log.Logger()
	system, tr := start(t, c)
	children := make([]*child, len(peers))
	for i, p := range peers {
		children[i] = startChild(t, childSpec{Listen: p, Peers: []string{tr.Address()}})
	}
	for _, f := range followers {
		askUntilAnswered(t, system, f, 5*time.Second)
	}
	idle := children[len(followers)]
	eventually(t, 5*time.Second, "the idle one is connected", func() bool { return idle.stats().Stats.Connects == 1 })
	stop := impersonate(t, peers, tr.Address())
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, f := range followers {
			sendVote(system, f) // a leader's heartbeats
		}
	}
	if n := tr.Stats().Disconnects; n != 0 {
		t.Errorf("%d connections to followers broke", n)
	}
	for _, c := range children {
		if s := c.stats().Stats; s.Connects != 1 || s.Disconnects != 0 {
			t.Errorf("a follower connected %d times, and %d connections broke", s.Connects, s.Disconnects)
		}
	}
	// A follower that restarts is let in, however fast the impostor takes its place.
	for _, c := range children[:len(followers)] {
		c.kill()
		restarted := startChild(t, c.spec)
		d := askUntilAnswered(t, system, c.spec.Listen, 5*time.Second).Sub(restarted.begun)
		t.Logf("answered %v after the restart", d)
		if d > 500*time.Millisecond && !raceEnabled {
			t.Errorf("after a restart it took %v", d)
		}
	}
	greetings := stop()
	if n := log.Count(""); n > 20 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
	if raceEnabled {
		return
	}
	if greetings < 50 {
		t.Errorf("the impostor greeted only %d times", greetings)
	}
}

// impersonate greets the node at address in the name of each peer, until stopped. It returns how often it did.
func impersonate(t *testing.T, peers []string, address string) (stop func() (greetings int)) {
	quit, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { ended <- n }()
		var open []*attacker
		for ticker := time.NewTicker(20 * time.Millisecond); ; n++ {
			for _, p := range peers {
				a := attack(t, address)
				a.send(greeting(p))
				if open = append(open, a); len(open) > 30 {
					_ = open[0].conn.Close()
					open = open[1:]
				}
			}
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
		}
	}()
	return func() int {
		close(quit)
		return <-ended
	}
}

// A connection in a peer's name that only greets makes room for the next; connections that work do not.
func TestConnectionsThatWorkStay(t *testing.T) {
	if !isolate(t) {
		return
	}
	var log testlog.Log
	c := testConfig(t, "127.0.0.1:0", downPeer)
	c.Logger = log.Logger()
	_, tr := start(t, c)
	working := make([]*attacker, connsPerPeer)
	for i := range working {
		working[i] = attack(t, tr.Address())
		working[i].greet(t, downPeer)
		working[i].send(one(func(*remote.MessageBatch, *remote.MessageEnvelope) {}))
	}
	eventually(t, 2*time.Second, "both work", func() bool {
		tr.door.mu.Lock()
		defer tr.door.mu.Unlock()
		all := tr.door.proven[downPeer]
		return len(all) == 2 && all[0].frame.Load() != 0 && all[1].frame.Load() != 0
	})
	for range 5 {
		a := attack(t, tr.Address())
		a.send(greeting(downPeer))
		if answer, err := a.fate(); err == nil {
			t.Errorf("a third connection was let in: %q", answer)
		}
	}
	if n := log.Count("level=WARN", "only one node may have its address"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
	_ = working[0].conn.Close() // its end makes room at once
	begun := time.Now()
	eventually(t, 2*time.Second, "a connection is let in", func() bool {
		a := attack(t, tr.Address())
		a.send(greeting(downPeer))
		_, err := a.fate()
		return err == nil
	})
	t.Logf("let in %v after another's end", time.Since(begun))
}
