package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// leader waits until one of the nodes leads, and takes writes.
func leader(t testing.TB, nodes []*process) *process {
	t.Helper()
	var found *process
	eventually(t, "a node leads", func() bool {
		for _, p := range nodes {
			r, err := p.status.Status(t.Context(), &messages.StatusRequest{Local: true})
			if err == nil && r.GetMembers()[0].GetRole() == "leader" && p.puts(t, "leader?", "") == nil {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

func (p *process) puts(t testing.TB, key, value string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := p.kv.Put(ctx, &messages.PutRequest{Key: key, Value: []byte(value)})
	return err
}

func (p *process) gets(t testing.TB, key string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r, err := p.kv.Get(ctx, &messages.GetRequest{Key: key})
	return string(r.GetValue()), err
}

func (p *process) page(t testing.TB, path string) (int, string) {
	t.Helper()
	r, err := http.Get(p.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

func without(nodes []*process, gone *process) []*process {
	var rest []*process
	for _, p := range nodes {
		if p != gone {
			rest = append(rest, p)
		}
	}
	return rest
}

func TestThreeNodesSurviveTheirLeader(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, nil)
	for round := range 3 {
		first := leader(t, nodes)
		if err := first.puts(t, fmt.Sprint("k", round), "v"); err != nil {
			t.Fatal(err)
		}
		first.kill()
		rest := without(nodes, first)
		second := leader(t, rest)
		for r := range round + 1 {
			if value, err := second.gets(t, fmt.Sprint("k", r)); value != "v" || err != nil {
				t.Fatalf("%q %v", value, err)
			}
		}
		nodes = append(rest, startProcess(t, first.spec))
	}
	for _, p := range nodes {
		eventually(t, p.spec.Config.ID+" is ready", func() bool { code, _ := p.page(t, "/readyz"); return code == http.StatusOK })
	}
}

func TestWholeClusterRestarts(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, nil)
	if err := leader(t, nodes).puts(t, "k", "v"); err != nil {
		t.Fatal(err)
	}
	for _, p := range nodes {
		p.end()
	}
	for i, p := range nodes {
		nodes[i] = startProcess(t, p.spec)
	}
	if value, err := leader(t, nodes).gets(t, "k"); value != "v" || err != nil {
		t.Fatalf("%q %v", value, err)
	}
}

// Every member does what it is asked for, and says who leads.
func TestAnyMemberIsAsked(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, nil)
	first := leader(t, nodes)
	for _, p := range nodes {
		eventually(t, "a member writes", func() bool { return p.puts(t, "k", "v") == nil })
		url := "http://" + p.spec.Config.ClientAddr + messagesconnect.KeyValueGetProcedure
		r, err := http.Post(url, "application/json", strings.NewReader(`{"key":"k"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if named := r.Header.Get("Troupe-Leader"); r.StatusCode != http.StatusOK || named != first.spec.Config.ClientAddr {
			t.Errorf("%s: %s, leader %q", p.spec.Config.ID, r.Status, named)
		}
	}
}

func detailOf(t testing.TB, err error) any {
	t.Helper()
	var coded *connect.Error
	if !connectAs(err, &coded) || len(coded.Details()) != 1 {
		t.Fatalf("%v has no single detail", err)
	}
	value, err := coded.Details()[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestStatusCoversAllMembers(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, nil)
	first := leader(t, nodes)
	for _, p := range nodes {
		eventually(t, "all members are reachable", func() bool {
			r, err := p.status.Status(t.Context(), &messages.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			roles := map[string]int{}
			for i, m := range r.GetMembers() {
				if m.GetId() != nodes[i].spec.Config.ID || m.GetPeerAddress() != nodes[i].spec.Config.PeerAddr {
					t.Fatal(r)
				}
				if !m.GetReachable() || m.GetError() != "" || m.GetAppliedIndex() == 0 ||
					m.GetClientAddress() != nodes[i].spec.Config.ClientAddr {
					return false
				}
				roles[m.GetRole()]++
			}
			return r.GetLeader() == first.spec.Config.ID && roles["leader"] == 1 && roles["follower"] == 2 && r.GetGroup() == "kv"
		})
	}
	local, err := nodes[0].status.Status(t.Context(), &messages.StatusRequest{Local: true, Group: "kv"})
	if err != nil || len(local.GetMembers()) != 1 || local.GetMembers()[0].GetId() != "n1" {
		t.Fatal(local, err)
	}
	_, err = nodes[0].status.Status(t.Context(), &messages.StatusRequest{Group: "other"})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Fatal(err)
	}

	gone := without(nodes, first)[0]
	gone.kill()
	start := time.Now()
	r, err := first.status.Status(t.Context(), &messages.StatusRequest{})
	if err != nil || time.Since(start) > 5*time.Second {
		t.Fatal(err, time.Since(start))
	}
	for _, m := range r.GetMembers() {
		if dead := m.GetId() == gone.spec.Config.ID; m.GetReachable() == dead || (m.GetError() != "") != dead {
			t.Fatal(r)
		}
	}
}

func TestFailedDiskIsReportedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	nodes := startProcesses(t, 3, func(s *nodeSpec) { s.FailDisk = true })
	first := leader(t, nodes)
	if err := first.puts(t, "k", "before"); err != nil {
		t.Fatal(err)
	}
	if r, err := http.Post(first.url+"/test/fail-disk", "", nil); err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(err)
	}
	_ = first.puts(t, "k", "maybe") // meets the disk
	eventually(t, "the node says that its storage failed", func() bool {
		code, text := first.page(t, "/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "disk")
	})
	if code, text := first.page(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "disk") {
		t.Fatal(code, text)
	}
	eventually(t, "writes on the failed node are refused as unavailable", func() bool {
		return connect.CodeOf(first.puts(t, "k", "x")) == connect.CodeUnavailable
	})
	second := leader(t, without(nodes, first))
	if err := second.puts(t, "k", "after"); err != nil {
		t.Fatal(err)
	}
	r, err := second.status.Status(t.Context(), &messages.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.GetMembers() {
		if failed := m.GetId() == first.spec.Config.ID; (m.GetError() != "") != failed || !m.GetReachable() {
			t.Fatal(r)
		}
	}
	start := time.Now()
	first.end()
	if took := time.Since(start); took > 20*time.Second {
		t.Fatalf("the failed node took %v to stop", took)
	}
}

func TestHundredGroupsOnThreeNodes(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("g%d", i))
	}
	nodes := startProcesses(t, 3, func(s *nodeSpec) {
		s.Groups = names
		s.Config.Timing.Heartbeat, s.Config.Timing.Election = 200*time.Millisecond, 2*time.Second
	})
	clients := func(p *process, name string) messagesconnect.KeyValueClient {
		if name == names[0] {
			return p.kv
		}
		return messagesconnect.NewKeyValueClient(http.DefaultClient, p.url+"/"+name)
	}
	var all sync.WaitGroup
	limit := make(chan struct{}, 8)
	for _, name := range names {
		all.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			deadline := time.Now().Add(60 * time.Second)
			for {
				for _, p := range nodes {
					k := clients(p, name)
					r, err := k.Put(t.Context(), &messages.PutRequest{Key: "name", Value: []byte(name)})
					if err != nil {
						continue
					}
					g, err := k.Get(t.Context(), &messages.GetRequest{Key: "name"})
					if err == nil && (r.GetVersion() < 1 || string(g.GetValue()) != name) {
						t.Errorf("group %s: version %d, value %q", name, r.GetVersion(), g.GetValue())
					}
					if err == nil {
						return
					}
				}
				if time.Now().After(deadline) {
					t.Errorf("group %s has no leader", name)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	all.Wait()
}
