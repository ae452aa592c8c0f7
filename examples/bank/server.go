package main

import (
	"context"
	"log/slog"

	"github.com/troupe-raft/troupe/cluster"
)

var members = must(cluster.ParseMembers("n1=127.0.0.1:18451,n2=127.0.0.1:18452,n3=127.0.0.1:18453"))
var endpoints = []string{"127.0.0.1:18461", "127.0.0.1:18462", "127.0.0.1:18463"}

// server is a node with its part of the bank.
type server struct {
	node  *cluster.Node // nil before the first start
	group *cluster.Group
}

// start may be called again after stop: the node goes on with what is on its disk.
func (s *server) start(ctx context.Context, i int, dir string) {
	s.node = must(cluster.Start(ctx, cluster.Config{
		ID: members[i].ID, DataDir: dir + "/" + members[i].ID, PeerAddr: members[i].Address, ClientAddr: endpoints[i],
		Logger: slog.New(slog.DiscardHandler),
	}))
	s.group = must(s.node.StartGroup(ctx, "bank", members, bank.StateMachine(newLedger())))
}

func (s *server) stop() error {
	if s.node == nil {
		return nil
	}
	return s.node.Shutdown(context.Background())
}
