package clientport

import (
	"fmt"
	"net/http"
)

// healthz answers 200 as long as the process can do its work, and 503 when only a restart can help.
func (p *Port) healthz(w http.ResponseWriter, _ *http.Request) {
	reportHealth(w, p.node.Broken())
}

// readyz answers 200 when every group on this node is part of a working cluster, as far as the node can tell.
func (p *Port) readyz(w http.ResponseWriter, _ *http.Request) {
	reportHealth(w, p.node.Unready())
}

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
