package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

// What a slip of the keyboard can ask for.
const (
	maxNodes    = 9
	maxGroups   = 10_000
	maxSyncTime = time.Second
)

// Local is a cluster in this process, with loopback sockets and every write synced to disk.
type Local struct {
	Nodes      int
	Groups     int           // replicated maps on every node
	Dir        string        // the data is below it; empty: the user's cache directory
	SyncTime   time.Duration // how much longer every sync takes, as on a slow disk
	Port       bool          // a client calls the client ports
	AtMostOnce bool          // writes have no session
}

// Check says what is wrong.
func (l Local) Check() error {
	switch {
	case l.Nodes < 1 || l.Nodes > maxNodes:
		return fmt.Errorf("--local takes 1 to %d nodes", maxNodes)
	case l.Groups < 1 || l.Groups > maxGroups:
		return fmt.Errorf("--groups takes 1 to %d groups", maxGroups)
	case l.Port && l.Groups > 1:
		return errors.New("--port measures the one group that clients reach: leave out --groups")
	case l.SyncTime > maxSyncTime:
		return fmt.Errorf("--sync-time must be at most %v: on a slower disk the elections take too long", maxSyncTime)
	}
	return nil
}

// start starts the nodes with their data in dir. Apps are as for host.LocalOptions.
func (l Local) start(ctx context.Context, dir string, apps []*actor.ActorSystem) (*host.Local, error) {
	return host.StartLocal(ctx, l.Nodes, dir, slog.New(slog.DiscardHandler),
		host.LocalOptions{Groups: l.Groups, Apps: apps, FS: slowDisk(ctx, l.SyncTime)})
}

func (l Local) open(ctx context.Context, out Output) (*system, error) {
	return l.openWith(ctx, out, nil)
}

// openWith starts the nodes, waits until every group has a leader, and tells how long that took when there are several.
func (l Local) openWith(ctx context.Context, out Output, apps []*actor.ActorSystem) (*system, error) {
	dir, remove, err := host.MakeDataDir(l.Dir, "bench")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	nodes, err := l.start(ctx, dir, apps)
	if err != nil {
		remove()
		return nil, err
	}
	s := &system{dir: dir, cluster: nodes, started: time.Since(begin)}
	s.close = func() {
		closeLocal(nodes) // the data is removed anyway
		remove()
	}
	limited, cancel := context.WithTimeout(ctx, leaderTime(l.Groups))
	defer cancel()
	if err := nodes.AwaitLeaders(limited); err != nil {
		s.close()
		return nil, err
	}
	s.led = time.Since(begin)
	l.aim(s)
	if l.Groups > 1 {
		out.say("%d groups on %d nodes started in %.1f s and had leaders after %.1f s: %s",
			l.Groups, l.Nodes, s.started.Seconds(), s.led.Seconds(), s.spread(ctx))
	}
	return s, nil
}

// aim makes the targets.
func (l Local) aim(s *system) {
	if l.Port {
		r := Remote{Timeout: portTime, AtMostOnce: l.AtMostOnce}
		for i := range l.Nodes {
			r.Endpoints = append(r.Endpoints, s.cluster.ClientAddr(i))
		}
		to := r.target()
		s.targets = []target{to}
		end := s.close
		s.close = func() {
			to.client.Close()
			end()
		}
		return
	}
	var options []cluster.ProposeOption
	if l.AtMostOnce {
		options = append(options, cluster.AtMostOnce)
	}
	for group := range l.Groups {
		to := &localTarget{cluster: s.cluster, group: group, options: options}
		to.find()
		s.targets = append(s.targets, to)
	}
}

// portTime is for one operation with --port.
const portTime = 5 * time.Second

// leaderTime is how long the elections of that many groups may take: each is a few synced writes on every node.
func leaderTime(groups int) time.Duration {
	return 10*time.Second + time.Duration(groups)*100*time.Millisecond
}

// shutdownTime bounds a graceful end.
const shutdownTime = 10 * time.Second

func closeLocal(nodes *host.Local) {
	limited, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	_ = nodes.Close(limited)
}

// localTarget calls the node that leads a group, through the Go API.
type localTarget struct {
	cluster *host.Local
	group   int
	options []cluster.ProposeOption
	found   atomic.Pointer[leading]
	looking atomic.Bool
}

// leading is a node, and the map of a group that it leads.
type leading struct {
	node *host.Node
	kv   *kv.KV
}

func (l *localTarget) find() {
	if n, _ := l.cluster.LeaderOf(l.group); n != nil {
		l.found.Store(&leading{n, kv.Open(n.Parts[l.group], l.options...)})
	}
}

func (l *localTarget) leader(context.Context) string { return l.found.Load().node.ID() }

func (l *localTarget) put(ctx context.Context, key string, value []byte) error {
	_, err := l.found.Load().kv.Put(ctx, key, value)
	return l.follow(err)
}

func (l *localTarget) get(ctx context.Context, how actors.Consistency, key string) error {
	_, _, _, err := l.found.Load().kv.GetAs(ctx, cluster.ReadOptions{Read: actors.Read{Consistency: how}}, key)
	return l.follow(err)
}

func (l *localTarget) follow(err error) error {
	if errors.Is(err, actors.ErrNotLeader) || errors.Is(err, actors.ErrClosed) {
		// Thousands of operations may fail at a time: one of them looks.
		if l.looking.CompareAndSwap(false, true) {
			l.find()
			l.looking.Store(false)
		}
	}
	return err
}
