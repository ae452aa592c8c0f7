package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
)

// call is curl for a service of client.proto. It returns the answer's fields, and checks the header that names the leader.
func call(t *testing.T, node *cluster.Node, method, body string) (fields map[string]any, text string) {
	t.Helper()
	response, err := http.Post("http://"+node.ClientAddr()+"/troupe.client.v1."+method, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if leader := response.Header.Get("Troupe-Leader"); leader != node.ClientAddr() {
		t.Errorf("%s %s: the leader is said to be at %q", method, body, leader)
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return fields, string(raw)
}

func TestSessionsByJSON(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	opened, text := call(t, node, "Session/Open", `{"nonce":"9"}`)
	id, _ := opened["session"].(string)
	again, _ := call(t, node, "Session/Open", `{"group":"kv","nonce":"9"}`)
	if id == "" || again["session"] != id || opened["window"] == "0" {
		t.Fatal(text, again)
	}
	put := fmt.Sprintf(`{"key":"k","value":"dg==","session":{"id":%q,"serial":"1","lowest":"1"}}`, id)
	first, text := call(t, node, "KeyValue/Put", put)
	if second, _ := call(t, node, "KeyValue/Put", put); first["version"] != "1" || second["version"] != "1" || first["index"] == nil {
		t.Fatal(text, second)
	}
	in := func(serial, lowest string) string {
		return fmt.Sprintf(`{"command":"AgFr","session":{"id":%q,"serial":%q,"lowest":%q}}`, id, serial, lowest) // deletes "k"
	}
	deleted, text := call(t, node, "Group/Submit", in("3", "2"))
	if deleted["value"] != "AQI=" && deleted["value"] != "AQE=" && deleted["value"] != "AQA=" {
		t.Error(text)
	}
	swapped, _ := call(t, node, "KeyValue/CompareAndSwap",
		fmt.Sprintf(`{"key":"k","newValue":"dw==","session":{"id":%q,"serial":"4","lowest":"2"}}`, id))
	if swapped["swapped"] != true || swapped["index"] == "0" {
		t.Error(swapped)
	}
	if gone, _ := call(t, node, "KeyValue/Delete", `{"key":"k"}`); gone["deleted"] != true || gone["index"] == "0" {
		t.Error(gone)
	}
	for body, code := range map[string]string{
		in("1", "1"): "out_of_range", in("0", "0"): "invalid_argument", in("5", "6"): "invalid_argument",
		in("100000", "1"): "resource_exhausted",
		`{"command":"AgFr","session":{"id":"AAAA","serial":"1"}}`:                     "invalid_argument",
		`{"command":"AgFr","session":{"id":"AAAAAAAAAAEAAAAAAAAAAg==","serial":"1"}}`: "not_found",
		`{"group":"other","command":"AgFr"}`:                                          "not_found",
	} {
		if refused, text := call(t, node, "Group/Submit", body); refused["code"] != code {
			t.Errorf("%s: %s, want %s", body, text, code)
		}
	}
	if _, text := call(t, node, "Group/Query", `{"group":"other"}`); !strings.Contains(text, "its groups are kv") {
		t.Error(text)
	}
	call(t, node, "Session/Close", fmt.Sprintf(`{"session":%q}`, id))
	if refused, text := call(t, node, "Group/Submit", in("9", "9")); refused["code"] != "not_found" {
		t.Error(text)
	}
}

func TestReadsByJSON(t *testing.T) {
	if !alone(t) {
		return
	}
	node := servedMap(t)
	put, _ := call(t, node, "KeyValue/Put", `{"key":"k","value":"dg=="}`)
	for _, how := range []string{
		`"minIndex":"1"`, `"consistency":"LEASE"`, `"consistency":"BOUNDED","maxStalenessMs":"50"`, `"consistency":"STALE"`,
	} {
		for method, body := range map[string]string{"KeyValue/Get": `{"key":"k",`, "Group/Query": `{"query":"AWs=",`} {
			body = fmt.Sprintf(`%s"minIndex":%q,%s}`, body, put["index"], how)
			body = strings.Replace(body, `,"minIndex":"1"`, "", 1)
			if got, text := call(t, node, method, body); got["index"] == nil || got["index"] == "0" || got["value"] == nil {
				t.Errorf("%s %s: %s", method, body, text)
			}
		}
	}
	for _, how := range []string{`"consistency":"BOUNDED"`, `"consistency":"SOME"`, `"consistency":9`} {
		for method, body := range map[string]string{"KeyValue/Get": `{"key":"k",`, "Group/Query": `{"query":"AWs=",`} {
			if refused, text := call(t, node, method, body+how+"}"); refused["code"] != "invalid_argument" {
				t.Errorf("%s %s: %s", method, how, text)
			}
		}
	}
	status, text := curl(t, node, "/troupe.client.v1.Group/Query", `{"query":"AWs=","minIndex":"1000000"}`, "Connect-Timeout-Ms", "50")
	if status != http.StatusGatewayTimeout || !strings.Contains(text, "uptoentry2,") {
		t.Error(status, text)
	}
}

// A read that waited for an entry in vain says how far the node got, in time for its caller to hear it.
func TestAClientIsToldHowFarTheNodeGot(t *testing.T) {
	if !alone(t) {
		return
	}
	node, group := single(t, t.TempDir(), echo{})
	eventually(t, "the node leads", func() bool { return leads(group) })
	c := client.New([]string{node.ClientAddr()})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := c.Query(ctx, "", client.Read{MinIndex: 1 << 40}, []byte("q"))
	if !errors.Is(err, client.ErrUnavailable) {
		t.Fatal(err)
	}
	mustContain(t, err, "has applied the log up to entry")
}
