package cluster

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/troupe-raft/troupe/actors"
)

// healthz answers 200 as long as the process can do its work, and 503 when only a restart can help.
func (p *clientPort) healthz(w http.ResponseWriter, _ *http.Request) {
	reportHealth(w, p.node.broken())
}

// readyz answers 200 when every group on this node is part of a working cluster, as far as the node can tell.
func (p *clientPort) readyz(w http.ResponseWriter, _ *http.Request) { reportHealth(w, p.node.ready()) }

func reportHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// broken says why the node needs a restart, or nil.
func (n *Node) broken() error {
	if err := n.Failed(); err != nil {
		return err
	}
	for _, g := range n.Groups() {
		if s := g.Status(); s.Role == actors.Failed {
			return fmt.Errorf("group %s: %w", g.name, g.failed(s))
		}
	}
	return nil
}

// ready says what keeps the node from serving.
func (n *Node) ready() error {
	if err := n.Failed(); err != nil {
		return err
	}
	groups := n.Groups()
	if len(groups) == 0 {
		return errors.New("no group is started on this node yet")
	}
	for _, g := range groups {
		if err := g.unready(g.Status()); err != nil {
			return fmt.Errorf("group %s: %w", g.name, err)
		}
	}
	return nil
}
