package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
)

// Remote is a running cluster, which is measured over its client ports. Keys are written into it.
type Remote struct {
	Endpoints  []string
	Timeout    time.Duration // of one operation
	TLS        *tls.Config   // nil: plain text
	AtMostOnce bool          // writes have no session
}

// Check says what is wrong.
func (r Remote) Check() error {
	if r.Timeout <= 0 {
		return errors.New("--timeout must be more than 0, such as 5s")
	}
	return nil
}

func (r Remote) open(context.Context, Output) (*system, error) {
	to := r.target()
	return &system{targets: []target{to}, close: to.client.Close}, nil
}

func (r Remote) target() *remoteTarget {
	options := []client.Option{client.WithTLS(r.TLS), client.Timeout(r.Timeout)}
	if r.AtMostOnce {
		options = append(options, client.AtMostOnce())
	}
	return &remoteTarget{client.New(r.Endpoints, options...)}
}

// remoteTarget calls the cluster's map.
type remoteTarget struct {
	client *client.Client
}

func (r *remoteTarget) put(ctx context.Context, key string, value []byte) error {
	_, err := r.client.Put(ctx, key, value)
	return err
}

func (r *remoteTarget) get(ctx context.Context, how actors.Consistency, key string) error {
	_, _, _, err := r.client.GetAs(ctx, client.Read{Consistency: how}, key)
	return err
}

func (r *remoteTarget) leader(ctx context.Context) string {
	status, _ := r.client.Status(ctx) // nil when unknown, which says ""
	return status.GetLeader()
}
