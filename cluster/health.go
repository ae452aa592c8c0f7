package cluster

import (
	"errors"
	"fmt"
	"net/http"
)

// healthz answers 200 as long as the process can do its work, and 503 when only a restart can help.
func (p *clientPort) healthz(w http.ResponseWriter, _ *http.Request) {
	reportHealth(w, p.node.Failed())
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

// ready says what keeps the node from serving: a failure, no leader, or a leader that has not yet committed in its term.
func (n *Node) ready() error {
	if err := n.Failed(); err != nil {
		return err
	}
	groups := n.Groups()
	if len(groups) == 0 {
		return errors.New("no group is started on this node yet")
	}
	for _, g := range groups {
		s := g.Status()
		switch {
		case g.failed(s) != nil:
			return fmt.Errorf("group %s: %w", g.name, g.failed(s))
		case s.LeaderID == "" && s.LastIndex == 0:
			return fmt.Errorf("group %s: not founded yet: its first election needs all %d members, start those that do not run", g.name, len(g.members))
		case s.LeaderID == "":
			return fmt.Errorf("group %s: no leader is known", g.name)
		case s.LeaderID == n.ID() && !s.Ready:
			return fmt.Errorf("group %s: this node was elected and has committed nothing in its term yet", g.name)
		}
	}
	return nil
}
