package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// fake is one node's client port. Its functions may be nil: then it answers like a leader of an empty map.
type fake struct {
	messagesconnect.UnimplementedKeyValueHandler
	messagesconnect.UnimplementedClusterHandler
	address string
	put     func(context.Context, *messages.PutRequest) (*messages.PutResponse, error)
	get     func(context.Context, *messages.GetRequest) (*messages.GetResponse, error)
	status  func(context.Context, *messages.StatusRequest) (*messages.StatusResponse, error)

	snapshot func(context.Context, *messages.SnapshotRequest, *snapshotStream) error

	mu   sync.Mutex
	puts int
}

func (f *fake) Put(ctx context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
	f.mu.Lock()
	f.puts++
	f.mu.Unlock()
	if f.put != nil {
		return f.put(ctx, r)
	}
	return &messages.PutResponse{Version: 1}, nil
}

func (f *fake) Get(ctx context.Context, r *messages.GetRequest) (*messages.GetResponse, error) {
	if f.get != nil {
		return f.get(ctx, r)
	}
	return &messages.GetResponse{}, nil
}

func (f *fake) CompareAndSwap(_ context.Context, r *messages.CompareAndSwapRequest) (*messages.CompareAndSwapResponse, error) {
	// The version tells the test what arrived as the old value.
	if r.OldValue == nil {
		return &messages.CompareAndSwapResponse{Version: 100}, nil
	}
	return &messages.CompareAndSwapResponse{Version: uint64(len(r.GetOldValue()))}, nil
}

func (f *fake) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	if f.status != nil {
		return f.status(ctx, r)
	}
	return &messages.StatusResponse{}, nil
}

func (f *fake) Snapshot(ctx context.Context, r *messages.SnapshotRequest, stream *snapshotStream) error {
	return f.snapshot(ctx, r, stream)
}

func (f *fake) putCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.puts
}

// listen serves f over HTTP/2 without TLS until the test ends.
func listen(t *testing.T, f *fake) *fake {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewKeyValueHandler(f))
	mux.Handle(messagesconnect.NewClusterHandler(f))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.address = server.Listener.Addr().String()
	return f
}

func connected(t *testing.T, endpoints ...string) *client.Client {
	c := client.New(endpoints)
	t.Cleanup(c.Close)
	return c
}

// within is a context that ends before a stuck test would.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func withDetail(code connect.Code, text string, detail proto.Message) error {
	e := connect.NewError(code, errors.New(text))
	d, err := connect.NewErrorDetail(detail)
	if err != nil {
		return err
	}
	e.AddDetail(d)
	return e
}

func notLeader(address string) error {
	return withDetail(connect.CodeFailedPrecondition, "not leader", &messages.NotLeader{LeaderId: "x", ClientAddress: address})
}

// refusedAddress is one where nobody listens.
func refusedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentAddress accepts connections and never answers, like a stopped process.
func silentAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
