package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/internal/clientport"
	"github.com/troupe-raft/troupe/cluster/internal/tlsfiles"
	"github.com/troupe-raft/troupe/messages"
)

// openClientPort opens the port that the configuration asks for, or none.
func (n *Node) openClientPort() (*clientport.Port, error) {
	if n.config.ClientAddr == "" {
		return nil, nil
	}
	files, err := n.config.ClientTLS.load()
	if err != nil {
		return nil, err
	}
	return clientport.Listen(clientport.Config{
		Listen: n.config.ClientListen, Public: n.config.ClientAddr, TLS: files, Limits: clientport.Limits(n.config.Clients), Logger: n.log,
	}, clientNode{n})
}

// load reads the files; no TLS is nothing to read.
func (t *ClientTLS) load() (*tlsfiles.Files, error) {
	if t == nil {
		return nil, nil
	}
	return tlsfiles.Load(tlsfiles.Names{Certificate: t.CertFile, Key: t.KeyFile, Authorities: t.CAFile})
}

// clientNode is a node as its client port sees it.
type clientNode struct{ node *Node }

var _ clientport.Node = clientNode{}

func (c clientNode) Groups() []string {
	var names []string
	for _, g := range c.node.Groups() {
		names = append(names, g.name)
	}
	return names
}

func (c clientNode) Group(name string) clientport.Group {
	if g, found := c.node.Group(name); found {
		return clientGroup{g}
	}
	return nil
}

// clientGroup is a group as the client port sees it.
type clientGroup struct{ *Group }

func (c clientGroup) Door() clientport.Door { return c.door }

func (c clientGroup) Submit(ctx context.Context, session messages.SessionCommand, command []byte) (uint64, []byte, error) {
	r, err := c.Group.Submit(ctx, session, command)
	return r.Index, r.Value, err
}

func (c clientGroup) Query(ctx context.Context, read actors.Read, minIndex uint64, query []byte) (uint64, []byte, error) {
	r, err := c.Group.Query(ctx, ReadOptions{read, minIndex}, query)
	return r.Index, r.Value, err
}

func (c clientNode) Status(ctx context.Context, group string, local bool) *messages.StatusResponse {
	g, found := c.node.Group(group)
	if !found {
		return nil
	}
	return g.clusterStatus(ctx, local)
}

func (c clientNode) Lead(ctx context.Context, group string) error {
	g, found := c.node.Group(group)
	if !found {
		return actors.ErrClosed
	}
	return g.barrier(ctx)
}

func (c clientNode) Snapshot(ctx context.Context, group string) (clientport.Snapshot, error) {
	g, found := c.node.Group(group)
	if !found {
		return nil, actors.ErrClosed
	}
	return g.Snapshot(ctx, true)
}

func (c clientNode) Broken() error {
	if err := c.node.Failed(); err != nil {
		return err
	}
	for _, g := range c.node.Groups() {
		if s := g.Status(); s.Role == actors.Failed {
			return fmt.Errorf("group %s: %w", g.name, g.failed(s))
		}
	}
	return nil
}

func (c clientNode) Unready() error {
	if err := c.node.Failed(); err != nil {
		return err
	}
	groups := c.node.Groups()
	if len(groups) == 0 {
		return errors.New("no group is started on this node yet: if it is to join one, no member took it in so far")
	}
	for _, g := range groups {
		if err := g.unready(g.Status()); err != nil {
			return fmt.Errorf("group %s: %w", g.name, err)
		}
	}
	return nil
}
