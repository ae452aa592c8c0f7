package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
)

// shutdownTime bounds a graceful end.
const shutdownTime = 10 * time.Second

func serveCommand() *command {
	return &command{
		name:    "serve",
		summary: "Run one node of a cluster.",
		text: `
Start every node of a new cluster with the same --initial-cluster, which names all of them, this one included:
  troupe serve --id n1 --data-dir /var/lib/troupe --peer-addr 10.0.0.1:7001 --client-addr 10.0.0.1:8001 \
    --initial-cluster n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001
The node prints one line when it listens, and logs to standard error. SIGINT or SIGTERM ends it gracefully, a second one at once.
Restart it with the same command: it finds its state in the data directory. Give all nodes the same timing.
A node that is to come into a cluster that runs is started with --join, and client addresses of members, instead of
--initial-cluster. It becomes a learner, and gets a vote when it has the log, unless --learner is given. A node whose address
changed is started with its new --peer-addr; if all have changed, give --initial-cluster with the new ones.
Never put back an older copy of one node's data directory: the node would have forgotten writes that it helped to acknowledge,
they could be lost, and nobody could notice. Make backups with "troupe snapshot save", and new clusters of them with "troupe
snapshot restore".
The peer port needs mutual TLS or a closed network: without TLS, whoever reaches it can act as any node. Whoever
reaches the client port may read and write everything, without TLS also what others send. With --client-cert and --client-key it
speaks TLS, and with --client-ca it serves only clients with a certificate of that authority; there is no other authentication.
Certificates are read again when the files change.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var o serveOptions
			o.register(flags)
			return func(ctx context.Context, t *terminal, _ []string) error { return o.serve(ctx, t) }
		},
	}
}

type serveOptions struct {
	config         cluster.Config
	peerTLS        cluster.TLS
	clientTLS      cluster.ClientTLS
	initialCluster string
	join           string
	learner        bool
	secure         secure // of the members' client ports, for join
	logLevel       slog.Level
	endWithInput   bool
}

func (o *serveOptions) register(flags *flag.FlagSet) {
	c := &o.config
	flags.StringVar(&c.ID, "id", "", "this node's `name` in the cluster")
	flags.StringVar(&c.DataDir, "data-dir", "", "the `directory` that holds this node's state, and no other's")
	flags.StringVar(&c.PeerAddr, "peer-addr", "", "`HOST:PORT` where the other nodes reach this one")
	flags.StringVar(&c.PeerListen, "peer-listen", "", "`HOST:PORT` to listen on for nodes, if not --peer-addr")
	flags.StringVar(&c.ClientAddr, "client-addr", "", "`HOST:PORT` where clients reach this node")
	flags.StringVar(&c.ClientListen, "client-listen", "", "`HOST:PORT` to listen on for clients, if not --client-addr")
	flags.IntVar(&c.Clients.Connections, "client-connections", 2048, "`number` of clients that may be connected; more are refused")
	flags.IntVar(&c.Clients.Requests, "client-requests", 4096, "`number` of clients' requests that may be under way; more are refused")
	flags.StringVar(&o.initialCluster, "initial-cluster", "", "all nodes of the cluster, as `ID=PEER_ADDR`,...")
	flags.StringVar(&o.join, "join", "", "client addresses of members of a cluster that takes this node in, as `HOST:PORT,...`")
	flags.BoolVar(&o.learner, "learner", false, "with --join: get the log, answer reads, and have no vote")
	o.secure.register(flags)
	flags.StringVar(&c.Cluster, "cluster", "troupe", "the cluster's `name`: nodes of another one are refused")
	flags.DurationVar(&c.Timing.Heartbeat, "heartbeat", 100*time.Millisecond, "`time` between two messages of an idle leader")
	flags.DurationVar(&c.Timing.Election, "election-timeout", 500*time.Millisecond,
		"`time` that a leader may be silent, at least twice --heartbeat; each node draws from once to twice that")
	flags.Var((*size)(&c.Limits.SnapshotAfter), "snapshot-after",
		"`SIZE` of the log since the last snapshot at which the next is taken (default that of the last snapshot, at least 64MiB)")
	flags.Var((*size)(&c.Limits.LogKeep), "log-keep",
		"`SIZE` of the log that stays behind a cut, for nodes that lag (default that of the snapshot, from 64MiB to 1GiB)")
	flags.Var((*size)(&c.LogBudget), "log-budget",
		"`SIZE` of the logs of all groups together, beyond which the longest are cut (default 4GiB)")
	flags.Var((*size)(&c.TransferRate), "transfer-rate",
		"`SIZE` that snapshots for other nodes may take of the network in a second (default as much as links carry)")
	flags.StringVar(&o.peerTLS.CertFile, "peer-cert", "",
		"PEM `file` with this node's certificate; with --peer-key and --peer-ca: mutual TLS between nodes")
	flags.StringVar(&o.peerTLS.KeyFile, "peer-key", "", "PEM `file` with the certificate's key")
	flags.StringVar(&o.peerTLS.CAFile, "peer-ca", "", "PEM `file` with the authority that signed all nodes' certificates")
	flags.StringVar(&o.clientTLS.CertFile, "client-cert", "",
		"PEM `file` with this node's certificate for clients; with --client-key: TLS on the client port")
	flags.StringVar(&o.clientTLS.KeyFile, "client-key", "", "PEM `file` with the certificate's key")
	flags.StringVar(&o.clientTLS.CAFile, "client-ca", "",
		"PEM `file` with the authority that signed clients' certificates: others are refused")
	flags.BoolVar(&o.endWithInput, "end-with-input", false, hidden)
	flags.Func("log-level", "lowest `level` to log: debug, info, warn or error (default info)", func(level string) error {
		if o.logLevel.UnmarshalText([]byte(level)) != nil {
			return errors.New("it is debug, info, warn or error")
		}
		return nil
	})
}

func (o *serveOptions) check() (err error) {
	c := &o.config
	for _, needed := range []struct{ name, value string }{
		{"id", c.ID}, {"data-dir", c.DataDir}, {"peer-addr", c.PeerAddr}, {"client-addr", c.ClientAddr},
	} {
		if needed.value == "" {
			return usagef("--%s is missing", needed.name)
		}
	}
	switch {
	case o.initialCluster == "" && o.join == "":
		return usagef("--initial-cluster is missing: give it to found a cluster, or --join to come into one")
	case o.initialCluster != "" && o.join != "":
		return usagef("--initial-cluster is to found a cluster, and --join to come into one: give one of them")
	case o.learner && o.join == "":
		return usagef("--learner is for nodes that --join")
	}
	if c.Clients.Connections < 1 || c.Clients.Requests < 1 {
		return usagef("--client-connections and --client-requests must be at least 1")
	}
	if c.Timing.Heartbeat <= 0 || c.Timing.Election < 2*c.Timing.Heartbeat {
		return usagef("--election-timeout %v must be at least twice --heartbeat %v, and both more than 0",
			c.Timing.Election, c.Timing.Heartbeat)
	}
	if c.TLS, err = peerTLS(o.peerTLS); err != nil {
		return err
	}
	c.ClientTLS, err = clientTLS(o.clientTLS)
	return err
}

func (o *serveOptions) serve(ctx context.Context, t *terminal) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.endWithInput {
		ctx = context.WithoutCancel(ctx) // a Ctrl-C on the terminal that both share is the starter's to handle
		go endWith(t.in)
	}
	defer runtime.KeepAlive(newBallast())
	o.config.Logger = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: o.logLevel}))
	node, err := o.start(ctx, t)
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // nothing runs yet, as when a node waits to be taken in: the signal is obeyed
	case err != nil:
		return err
	}
	removed := node.Group.Removed(ctx)
	fmt.Fprintf(t.out, "node %s listens: peers on %s, clients on %s\n", node.ID(), node.PeerAddr(), node.ClientAddr())

	select {
	case <-ctx.Done():
	case <-removed:
		err = fmt.Errorf("%s stops: %w", node.ID(), actors.ErrRemoved)
	case <-node.Done():
		if err := node.Failed(); err != nil {
			return err
		}
		return errors.New("the node stopped by itself: its log says why")
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if stopErr := node.Shutdown(limited); stopErr != nil {
		return fmt.Errorf("the node did not stop cleanly, which loses nothing that was acknowledged: %w", stopErr)
	}
	return err
}

// start founds a cluster, comes into one, or goes on in one.
func (o *serveOptions) start(ctx context.Context, t *terminal) (*host.Node, error) {
	if o.join != "" {
		endpoints, err := parseEndpoints(o.join, "--join")
		if err == nil && len(endpoints) == 0 {
			err = usagef("--join names nobody: give client addresses of members as HOST:PORT,...")
		}
		if err != nil {
			return nil, err
		}
		tls, err := o.secure.config(t)
		if err != nil {
			return nil, err
		}
		if err := o.config.Validate(nil); err != nil {
			return nil, usagef("%v", err)
		}
		return host.Join(ctx, o.config, cluster.Join{Endpoints: endpoints, TLS: tls, Learner: o.learner})
	}
	members, err := cluster.ParseMembers(o.initialCluster)
	if err != nil {
		return nil, usagef("--initial-cluster: %v", err)
	}
	if err := o.config.Validate(o.moved(members)); err != nil {
		return nil, usagef("%v", err)
	}
	return host.Start(ctx, o.config, members)
}

// moved is the list to check before the directory is opened. A node that was started before may have another address now.
func (o *serveOptions) moved(members []actors.Member) []actors.Member {
	if files, err := os.ReadDir(o.config.DataDir); err != nil || len(files) == 0 {
		return members
	}
	members = slices.Clone(members)
	for i, m := range members {
		if m.ID == o.config.ID {
			members[i].Address = o.config.PeerAddr
		}
	}
	return members
}

// endWith ends this process when its input ends: whoever started it, and holds the other end of the pipe, is gone.
func endWith(in io.Reader) {
	_, _ = io.Copy(io.Discard, in)
	os.Exit(exitFailed)
}
