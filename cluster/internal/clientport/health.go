package clientport

import (
	"fmt"
	"net/http"
)

// The health pages. The first fails when only a restart helps; the other unless every group on this node is part of a working cluster, as
// far as the node can tell.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// healthPage answers 200 when nothing is wrong, and 503 with what is.
func healthPage(wrong func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := wrong(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, err)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
}

func isHealthCheck(r *http.Request) bool {
	return r.ContentLength == 0 && (r.URL.Path == healthPath || r.URL.Path == readyPath)
}
