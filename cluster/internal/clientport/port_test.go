package clientport

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/attacker"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// testNode says what a test wants it to say.
type testNode struct {
	groups          []string
	broken, unready error
	lead            error
	open            func(context.Context) (Snapshot, error)
	group           Group // whatever the name
}

func (n *testNode) Groups() []string { return n.groups }
func (n *testNode) Group(string) Group {
	return n.group
}
func (n *testNode) Broken() error  { return n.broken }
func (n *testNode) Unready() error { return n.unready }

func (n *testNode) Lead(context.Context, string) error { return n.lead }
func (n *testNode) Snapshot(ctx context.Context, _ string) (Snapshot, error) {
	return n.open(ctx)
}

// Status has the scope that was asked for in the place of the leader.
func (n *testNode) Status(_ context.Context, group string, local bool) *messages.StatusResponse {
	if !slices.Contains(n.groups, group) {
		return nil
	}
	return &messages.StatusResponse{Group: group, Leader: fmt.Sprint("local: ", local)}
}

// keyValues takes every write, and has the value "v" for every key.
type keyValues struct {
	messagesconnect.UnimplementedKeyValueHandler
}

func (keyValues) Put(_ context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
	if r.Key == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the key is empty"))
	}
	return &messages.PutResponse{Version: 1}, nil
}

func (keyValues) Get(context.Context, *messages.GetRequest) (*messages.GetResponse, error) {
	return &messages.GetResponse{Found: true, Value: []byte("v"), Version: 1}, nil
}

func (keyValues) CompareAndSwap(_ context.Context, r *messages.CompareAndSwapRequest) (*messages.CompareAndSwapResponse, error) {
	return &messages.CompareAndSwapResponse{Swapped: len(r.OldValue)+len(r.NewValue) > 0}, nil
}

// served is a port that serves keyValues.
func served(t *testing.T, node Node) *Port { return servedWithin(t, node, Limits{}) }

func servedWithin(t *testing.T, node Node, limits Limits) *Port {
	t.Helper()
	limits.SetDefaults()
	p, err := Listen(Config{Listen: "127.0.0.1:0", Public: "127.0.0.1:0", Limits: limits, Logger: slog.New(slog.DiscardHandler)}, node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Handle(messagesconnect.NewKeyValueHandler(keyValues{}, HandlerOptions()...)); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	return p
}

func get(t *testing.T, p *Port, path string) (status int, text string) {
	t.Helper()
	response, err := http.Get("http://" + p.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestThePagesSayWhatIsWrong(t *testing.T) {
	node := &testNode{}
	p := served(t, node)
	for _, c := range []struct {
		broken, unready error
		healthy         int
		health          string
		ready           int
		readiness       string
	}{
		{nil, nil, 200, "ok\n", 200, "ok\n"},
		{nil, errors.New("no leader"), 200, "ok\n", 503, "no leader\n"},
		{errors.New("no disk"), errors.New("no disk"), 503, "no disk\n", 503, "no disk\n"},
	} {
		node.broken, node.unready = c.broken, c.unready
		if status, text := get(t, p, "/healthz"); status != c.healthy || text != c.health {
			t.Errorf("%v: %d %q", c, status, text)
		}
		if status, text := get(t, p, "/readyz"); status != c.ready || text != c.readiness {
			t.Errorf("%v: %d %q", c, status, text)
		}
	}
	if status, _ := post(t, p.Address(), "/healthz", ""); status != http.StatusMethodNotAllowed {
		t.Error(status)
	}
}

func TestStatusOfAGroup(t *testing.T) {
	node := &testNode{}
	k := messagesconnect.NewClusterClient(http.DefaultClient, "http://"+served(t, node).Address())
	if _, err := k.Status(t.Context(), &messages.StatusRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Error(err)
	}
	node.groups = []string{"first", "second"}
	for asked, want := range map[string]string{"": "first", "first": "first", "second": "second"} {
		r, err := k.Status(t.Context(), &messages.StatusRequest{Group: asked})
		if err != nil || r.Group != want || r.Leader != "local: false" {
			t.Errorf("%q: %v %v", asked, r, err)
		}
	}
	if r, err := k.Status(t.Context(), &messages.StatusRequest{Local: true}); err != nil || r.Leader != "local: true" {
		t.Error(r, err)
	}
	_, err := k.Status(t.Context(), &messages.StatusRequest{Group: "none"})
	if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), `no group "none"`) {
		t.Error(err)
	}
}

func TestWhatCannotBeMounted(t *testing.T) {
	p := served(t, &testNode{})
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "mine") })
	if err := p.Handle("/own", own); err != nil {
		t.Fatal(err)
	}
	if status, text := get(t, p, "/own"); status != 200 || text != "mine" {
		t.Error(status, text)
	}
	for pattern, h := range map[string]http.Handler{"/own": own, "bad pattern x y": own, "/nil": nil} {
		if err := p.Handle(pattern, h); err == nil || !strings.Contains(err.Error(), "nothing can be mounted") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestNoPortDoesNothing(t *testing.T) {
	var p *Port
	p.Serve()
	<-p.Drain(0)
	p.Close()
	if err := p.Handle("/", http.NotFoundHandler()); err != nil || p.Address() != "" {
		t.Error(err, p.Address())
	}
}

// newH2C is a client that speaks HTTP/2 without TLS.
func newH2C() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

func TestConnectClientsOfEveryProtocol(t *testing.T) {
	p := served(t, &testNode{})
	for name, options := range map[string][]connect.ClientOption{
		"connect":   nil,
		"json":      {connect.WithProtoJSON()},
		"gzip":      {connect.WithSendGzip()},
		"get":       {connect.WithHTTPGet()},
		"json get":  {connect.WithHTTPGet(), connect.WithProtoJSON()},
		"grpc":      {connect.WithGRPC()},
		"grpc-json": {connect.WithGRPC(), connect.WithProtoJSON()},
		"grpc-web":  {connect.WithGRPCWeb()},
	} {
		for version, client := range map[string]*http.Client{"HTTP/1.1": http.DefaultClient, "HTTP/2": newH2C()} {
			if strings.HasPrefix(name, "grpc") && name != "grpc-web" && version == "HTTP/1.1" {
				continue // gRPC is HTTP/2
			}
			k := messagesconnect.NewKeyValueClient(client, "http://"+p.Address(), options...)
			if r, err := k.Put(t.Context(), &messages.PutRequest{Key: "k", Value: []byte("v")}); err != nil || r.Version != 1 {
				t.Errorf("%s %s: %v %v", name, version, r, err)
			}
			if r, err := k.Get(t.Context(), &messages.GetRequest{Key: "k"}); err != nil || string(r.Value) != "v" {
				t.Errorf("%s %s: %v %v", name, version, r, err)
			}
			if _, err := k.Put(t.Context(), &messages.PutRequest{}); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s %s: %v", name, version, err)
			}
			largest := make([]byte, 1<<20)
			swap := &messages.CompareAndSwapRequest{Key: "k", OldValue: largest, NewValue: largest}
			if r, err := k.CompareAndSwap(t.Context(), swap); err != nil || !r.Swapped {
				t.Errorf("%s %s: %v %v", name, version, r, err)
			}
			client.CloseIdleConnections()
		}
	}
}

// TestTooLargeIsInvalid: a client that tries again when a node has too much to do must not take this for it.
func TestTooLargeIsInvalid(t *testing.T) {
	p := served(t, &testNode{groups: []string{"kv"}})
	h2c := newH2C()
	defer h2c.CloseIdleConnections()
	for name, options := range map[string][]connect.ClientOption{
		"connect":       {},
		"json":          {connect.WithProtoJSON()},
		"gzip":          {connect.WithSendGzip()},
		"grpc":          {connect.WithGRPC()},
		"grpc gzip":     {connect.WithGRPC(), connect.WithSendGzip()},
		"grpc-web gzip": {connect.WithGRPCWeb(), connect.WithSendGzip()},
	} {
		k := messagesconnect.NewKeyValueClient(h2c, "http://"+p.Address(), options...)
		_, err := k.Put(t.Context(), &messages.PutRequest{Key: "k", Value: make([]byte, 5<<20)})
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", name, err)
		}
		_, err = k.Get(t.Context(), &messages.GetRequest{Key: strings.Repeat("k", 5<<20)})
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	query := url.Values{
		"encoding": {"proto"}, "connect": {"v1"}, "compression": {"gzip"}, "base64": {"1"},
		"message": {base64.RawURLEncoding.EncodeToString(attacker.Gzipped(5 << 20))},
	}
	status, text := get(t, p, messagesconnect.KeyValueGetProcedure+"?"+query.Encode())
	if status != http.StatusBadRequest || !strings.Contains(text, "too large") {
		t.Error(status, text)
	}
	c := client.New([]string{p.Address()})
	defer c.Close()
	if _, err := c.Put(t.Context(), "k", make([]byte, 5<<20)); !errors.Is(err, client.ErrInvalid) {
		t.Error(err)
	}
}
