package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

// maxGroups bounds what a slip of the keyboard can start.
const maxGroups = 10_000

// leaderTime is how long the elections of that many groups may take: each is a few synced writes on every node.
func leaderTime(groups int) time.Duration {
	return 10*time.Second + time.Duration(groups)*100*time.Millisecond
}

func (o *benchOptions) openLocal(ctx context.Context) (*system, error) {
	dir, remove, err := host.MakeDataDir(o.dir, "bench")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	cluster, err := host.StartLocal(ctx, o.local, dir, slog.New(slog.DiscardHandler),
		host.LocalOptions{Groups: o.groups, Apps: o.newApps(), FS: slowDisk(ctx, time.Duration(o.syncTime))})
	if err != nil {
		remove()
		return nil, err
	}
	started := time.Since(begin)
	ends := func() {
		closeLocal(cluster) // the data is removed anyway
		remove()
	}
	limited, cancel := context.WithTimeout(ctx, leaderTime(o.groups))
	defer cancel()
	if err := cluster.AwaitLeaders(limited); err != nil {
		ends()
		return nil, err
	}
	s := &system{dir: dir, cluster: cluster, started: started, led: time.Since(begin), close: ends}
	for group := range o.groups {
		l := &localTarget{cluster: cluster, group: group}
		l.find()
		s.targets = append(s.targets, l)
	}
	return s, nil
}

func closeLocal(cluster *host.Local) {
	limited, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	_ = cluster.Close(limited)
}

// localTarget calls the node that leads a group, through the Go API.
type localTarget struct {
	cluster *host.Local
	group   int
	node    atomic.Pointer[host.Node]
	looking atomic.Bool
}

func (l *localTarget) find() {
	if n, _ := l.cluster.LeaderOf(l.group); n != nil {
		l.node.Store(n)
	}
}

func (l *localTarget) leader(context.Context) string { return l.node.Load().ID() }

func (l *localTarget) put(ctx context.Context, key string, value []byte) error {
	_, err := l.node.Load().Parts[l.group].Map.Put(ctx, key, value)
	return l.follow(err)
}

func (l *localTarget) get(ctx context.Context, key string) error {
	_, _, _, err := l.node.Load().Parts[l.group].Map.Get(ctx, key)
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

// leaders are those of all groups now.
func (s *system) leaders(ctx context.Context) []string {
	all := make([]string, len(s.targets))
	for i, t := range s.targets {
		all[i] = t.leader(ctx)
	}
	return all
}

// leadersChanged is a note for the report, empty when every group's leader is the one before.
func (s *system) leadersChanged(ctx context.Context, before []string) string {
	changed := 0
	for i, t := range s.targets {
		if t.leader(ctx) != before[i] {
			changed++
		}
	}
	switch {
	case changed == 0:
		return ""
	case len(before) == 1:
		return "the leader changed"
	}
	return fmt.Sprintf("the leaders of %d groups changed", changed)
}

// spread says how the groups' leaders are distributed: "n1 3, n2 5, n3 2".
func (s *system) spread(ctx context.Context) string {
	counts := map[string]int{}
	for _, leader := range s.leaders(ctx) {
		counts[leader]++
	}
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", id, counts[id]))
	}
	return strings.Join(parts, ", ")
}
