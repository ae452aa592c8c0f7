package cluster_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/attacker"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
)

// servedMap is a node that leads and serves the map on its client port.
func servedMap(t *testing.T) *cluster.Node { return servedMapWithin(t, cluster.ClientLimits{}) }

func servedMapWithin(t *testing.T, limits cluster.ClientLimits) *cluster.Node {
	t.Helper()
	node, group := singleWithin(t, t.TempDir(), kv.NewMap(), limits)
	if err := kv.Mount(node, group); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node leads", func() bool { return leads(group) })
	return node
}

// curl is what curl -d does, plus what it prints.
func curl(t testing.TB, node *cluster.Node, path, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+node.ClientAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return fetch(t, request)
}

func fetch(t testing.TB, request *http.Request) (int, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.ReplaceAll(string(answer), " ", "")
}

const keyValue = "/troupe.client.v1.KeyValue/"

func TestJSONOverHTTP(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	index := regexp.MustCompile(`"index":"[1-9]\d*"`)
	for _, c := range []struct{ path, body, answer string }{
		{"Get", `{"key":"k"}`, `{"found":false,"value":"","version":"0","index":"#"}`},
		{"Put", `{"key":"k","value":"djE="}`, `{"version":"1","index":"#"}`},
		{"Put", `{"key":"k","value":"djI="}`, `{"version":"2","index":"#"}`},
		{"Get", `{"key":"k"}`, `{"found":true,"value":"djI=","version":"2","index":"#"}`},
		{"CompareAndSwap", `{"key":"k","oldValue":"djE=","newValue":"djM="}`, `{"swapped":false,"version":"2","index":"#"}`},
		{"CompareAndSwap", `{"key":"k","old_value":"djI=","new_value":"djM="}`, `{"swapped":true,"version":"3","index":"#"}`},
		{"CompareAndSwap", `{"key":"n","newValue":""}`, `{"swapped":true,"version":"1","index":"#"}`},
		{"CompareAndSwap", `{"key":"n","oldValue":"","newValue":"eA=="}`, `{"swapped":true,"version":"2","index":"#"}`},
		{"CompareAndSwap", `{"key":"n","newValue":"eA=="}`, `{"swapped":false,"version":"2","index":"#"}`},
		{"Delete", `{"key":"k"}`, `{"deleted":true,"index":"#"}`},
		{"Delete", `{"key":"k"}`, `{"deleted":false,"index":"#"}`},
		{"Put", `{"key":"k"}`, `{"version":"4","index":"#"}`},
	} {
		code, answer := curl(t, node, keyValue+c.path, c.body)
		answer = index.ReplaceAllString(answer, `"index":"#"`)
		if code != http.StatusOK || answer != c.answer {
			t.Errorf("%s %s: %d %s; want %s", c.path, c.body, code, answer, c.answer)
		}
	}
	code, answer := curl(t, node, keyValue+"Get", `{"key":"n"}`, "Content-Type", "application/json; charset=utf-8")
	if code != 200 || !strings.Contains(answer, "eA==") {
		t.Error(code, answer)
	}
	query := url.Values{"encoding": {"json"}, "connect": {"v1"}, "message": {`{"key":"n"}`}}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.ClientAddr()+keyValue+"Get?"+query.Encode(), nil)
	if code, answer := fetch(t, request); code != 200 || !strings.Contains(answer, "eA==") {
		t.Error(code, answer)
	}
	if code, answer := curl(t, node, "/troupe.client.v1.Cluster/Status", `{}`); code != 200 || !strings.Contains(answer, `"leader":"n1"`) {
		t.Error(code, answer)
	}
}

func TestBadInputGetsAClearError(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	bigValue := base64.StdEncoding.EncodeToString(make([]byte, kv.MaxValueBytes+1))
	asProto := []string{"Content-Type", "application/proto"}
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		code       int
		says       string // words
	}{
		"empty key":         {path: "Put", body: `{"value":"eA=="}`, code: 400, says: "invalid_argument thekeyisempty"},
		"empty key to get":  {path: "Get", body: `{}`, code: 400, says: "invalid_argument thekeyisempty"},
		"empty key delete":  {path: "Delete", body: `{"key":""}`, code: 400, says: "invalid_argument thekeyisempty"},
		"empty key to swap": {path: "CompareAndSwap", body: `{}`, code: 400, says: "invalid_argument thekeyisempty"},
		"long key":          {path: "Put", body: `{"key":"` + strings.Repeat("k", 4097) + `"}`, code: 400, says: "4097bytes atmost4096"},
		"large value": {
			path: "Put", body: `{"key":"k","value":"` + bigValue + `"}`, code: 400, says: "invalid_argument 1048577bytes",
		},
		"large old value":  {path: "CompareAndSwap", body: `{"key":"k","oldValue":"` + bigValue + `"}`, code: 400, says: "oldvalue"},
		"unknown field":    {path: "Put", body: `{"key":"k","valeu":"eA=="}`, code: 400, says: "invalid_argument unknownfield valeu"},
		"number for text":  {path: "Put", body: `{"key":7}`, code: 400, says: "invalid_argument 7"},
		"not base64":       {path: "Put", body: `{"key":"k","value":"*"}`, code: 400, says: "invalid_argument value"},
		"number for bytes": {path: "Put", body: `{"key":"k","value":1}`, code: 400, says: "invalid_argument"},
		"array":            {path: "Put", body: `[]`, code: 400, says: "invalid_argument PutRequest"},
		"cut JSON":         {path: "Put", body: `{"key":"k"`, code: 400, says: "invalid_argument"},
		"empty body":       {path: "Put", body: ``, code: 400, says: "invalid_argument bodyisempty"},
		"key twice":        {path: "Put", body: `{"key":"a","key":"b"}`, code: 400, says: "duplicate"},
		"garbage":          {path: "Put", body: "\x00\xff\xfe", code: 400, says: "invalid_argument"},
		"garbage protobuf": {path: "Put", body: "\xff\xff\xff", headers: asProto, code: 400, says: "invalid_argument"},
		"key not UTF-8":    {path: "Put", body: "\x0a\x01\xff", headers: asProto, code: 400, says: "UTF-8"},
		"bad gzip":         {path: "Put", body: "garbage", headers: []string{"Content-Encoding", "gzip"}, code: 400, says: "decompressor"},
		"unknown encoding": {path: "Put", body: "{}", headers: []string{"Content-Encoding", "lzw"}, code: 501, says: "lzw"},
		"bad timeout": {
			path: "Get", body: `{"key":"k"}`, headers: []string{"Connect-Timeout-Ms", "soon"}, code: 400, says: "timeout",
		},
		"unknown method": {path: "Increment", body: `{}`, code: 404},
		"plain text":     {path: "Put", body: `{}`, headers: []string{"Content-Type", "text/plain"}, code: 415},
	} {
		code, answer := curl(t, node, keyValue+c.path, c.body, c.headers...)
		if code != c.code {
			t.Errorf("%s: %d %.300s; want %d", name, code, answer, c.code)
		}
		for _, says := range strings.Fields(c.says) {
			if !strings.Contains(strings.ReplaceAll(answer, "\\u00a0", ""), says) {
				t.Errorf("%s: %.300s does not say %q", name, answer, says)
			}
		}
	}
	code, answer := curl(t, node, "/troupe.client.v1.Cluster/Status", `{"group":"none"}`)
	if code != 404 || !strings.Contains(answer, "not_found") {
		t.Error(code, answer)
	}
	if code, answer := curl(t, node, keyValue+"Get", `{"key":"k"}`, "Connect-Timeout-Ms", "0"); code != 504 && code != 408 {
		t.Error(code, answer)
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.ClientAddr()+keyValue+"Put", nil)
	if code, answer := fetch(t, request); code != http.StatusMethodNotAllowed {
		t.Error(code, answer)
	}
}

func TestGRPCClient(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	conn, err := grpc.NewClient(node.ClientAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	put, get := &messages.PutResponse{}, &messages.GetResponse{}
	err = conn.Invoke(t.Context(), keyValue+"Put", &messages.PutRequest{Key: "k", Value: []byte("v")}, put)
	if err != nil || put.Version != 1 {
		t.Fatal(put, err)
	}
	if err := conn.Invoke(t.Context(), keyValue+"Get", &messages.GetRequest{Key: "k"}, get); err != nil || string(get.Value) != "v" {
		t.Fatal(get, err)
	}
	largest, swap := make([]byte, kv.MaxValueBytes), &messages.CompareAndSwapResponse{}
	for _, old := range [][]byte{[]byte("v"), largest} {
		request := &messages.CompareAndSwapRequest{Key: "k", OldValue: old, NewValue: largest}
		if err := conn.Invoke(t.Context(), keyValue+"CompareAndSwap", request, swap); err != nil || !swap.Swapped {
			t.Fatal(swap, err)
		}
	}
	err = conn.Invoke(t.Context(), keyValue+"Put", &messages.PutRequest{}, put)
	if status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := conn.Invoke(ctx, keyValue+"Get", &messages.GetRequest{Key: "k"}, get); status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
}

// TestHostileClients: nothing that a client sends crashes the node or makes it grow.
func TestHostileClients(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()

	// A body that announces itself as huge is refused before it is read; one that does not is cut off.
	put := "http://" + node.ClientAddr() + keyValue + "Put"
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, put, attacker.Zeros(1<<30))
	request.ContentLength = 1 << 30
	request.Header.Set("Content-Type", "application/json")
	if response, err := http.DefaultClient.Do(request); err == nil {
		answer, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest || !bytes.Contains(answer, []byte("too large")) {
			t.Errorf("%d %s", response.StatusCode, answer)
		}
	}
	request, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, put, attacker.Zeros(1<<30))
	request.Header.Set("Content-Type", "application/proto")
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("a gigabyte was taken")
		}
	}

	// A few bytes that unpack to very much.
	code, answer := curl(t, node, keyValue+"Put", string(attacker.Gzipped(1<<28)), "Content-Encoding", "gzip")
	if code != http.StatusBadRequest || !strings.Contains(answer, "toolarge") {
		t.Error(code, answer)
	}

	talkNonsense(t, node.ClientAddr())
	if grown := int64(heap()) - int64(before); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if code, answer := curl(t, node, keyValue+"Put", `{"key":"k"}`); code != http.StatusOK {
		t.Error(code, answer)
	}
	start := time.Now()
	shutdown(t, node) // in spite of the open connections
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
}

// talkNonsense opens connections, and sends bytes that are no HTTP, headers without end, or nothing.
func talkNonsense(t *testing.T, address string) {
	t.Helper()
	for i := range 50 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		garbage := make([]byte, 4096)
		_, _ = rand.Read(garbage)
		switch i % 4 {
		case 0:
			_, _ = conn.Write(garbage)
		case 1:
			_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
			_, _ = conn.Write(garbage)
		case 2:
			_, _ = fmt.Fprintf(conn, "POST %sPut HTTP/1.1\r\nHost: x\r\n", keyValue)
			_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for range 100 {
				_, _ = fmt.Fprintf(conn, "X-%x: %x\r\n", i, garbage[:1024])
			}
		}
	}
}

// TestThePortKeepsItsLimits: what the limits are for is shown by the tests of package clientport.
func TestThePortKeepsItsLimits(t *testing.T) {
	if !alone(t) {
		return
	}
	const mib = 1 << 20
	node := servedMapWithin(t, cluster.ClientLimits{
		AnswerBytes: 16 * mib, Still: time.Minute, Patience: 50 * time.Millisecond, Slow: time.Second,
	})
	k := client.New([]string{node.ClientAddr()})
	defer k.Close()
	if _, err := k.Put(t.Context(), "large", make([]byte, mib)); err != nil {
		t.Fatal(err)
	}
	a := mustDial(t, node.ClientAddr(), 0)
	for range 100 {
		if err := a.Call(keyValue+"Get", &messages.GetRequest{Key: "large"}); err != nil {
			t.Fatal(err)
		}
	}
	// With a share of 4 MiB, a client that reads nothing is refused the rest, and all is cut off after a second.
	_ = a.SetReadDeadline(time.Now().Add(20 * time.Second))
	said := a.DrainUntil(func(said map[string]int) bool { return said["429"] >= 90 && said["INTERNAL_ERROR"] >= 90 })
	if said["429"] < 90 || said["INTERNAL_ERROR"] < 90 || said["200"] > 4 {
		t.Errorf("it is told %v", said)
	}
}

func TestHealthPages(t *testing.T) {
	if !alone(t) {
		return
	}
	node, err := cluster.Start(t.Context(), cluster.Config{
		ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t), ClientAddr: "127.0.0.1:0",
		Timing: fastTiming(), Logger: testLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, node) })
	page := func(path string) (int, string) {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.ClientAddr()+path, nil)
		return fetch(t, request)
	}
	if code, text := page("/healthz"); code != 200 || text != "ok\n" {
		t.Error(code, text)
	}
	if code, text := page("/readyz"); code != 503 || !strings.Contains(text, "nogroup") {
		t.Error(code, text)
	}
	if code, _ := curl(t, node, "/troupe.client.v1.Cluster/Status", `{}`); code != 503 {
		t.Error(code)
	}
	members, err := cluster.ParseMembers("n1=" + node.PeerAddr())
	if err != nil {
		t.Fatal(err)
	}
	group, err := node.StartGroup(t.Context(), "kv", members, kv.NewMap())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { code, _ := page("/readyz"); return code == 200 })
	if err := kv.Mount(node, group); err != nil {
		t.Fatal(err)
	}
	mustContain(t, kv.Mount(node, group), "nothing can be mounted")
}

// A name that protobuf would not encode is refused as any other that no group has, and ends nobody else's calls.
func TestAGroupWhoseNameIsNoText(t *testing.T) {
	if !alone(t) {
		return
	}
	node, group := single(t, t.TempDir(), kv.NewMap())
	eventually(t, "the node leads", func() bool { return leads(group) })
	c := client.New([]string{node.ClientAddr()})
	defer c.Close()
	var others sync.WaitGroup
	others.Go(func() {
		for range 20 {
			if _, err := c.Put(t.Context(), "k", nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		_, queried := c.Query(t.Context(), "\xff", client.Read{}, nil)
		_, submitted := c.Submit(t.Context(), "\xff", nil)
		if !errors.Is(queried, client.ErrInvalid) || !errors.Is(submitted, client.ErrInvalid) {
			t.Fatal(queried, submitted)
		}
	}
	others.Wait()
}
