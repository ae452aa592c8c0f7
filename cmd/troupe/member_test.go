//go:build unix

package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

func within(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), limit)
}

// Processes of nodes that were removed end and stay away, also those that could not be told.
func TestRemovedNodesEnd(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	away, told := c.all[2], c.all[1]
	c.awaitAgreement() // who does not know that it was a member is not told
	away.kill()
	c.does("member", "remove", "n3")
	away.start()
	away.refuses("troupe serve: n3 stops: this node was removed from the group")
	c.does("member", "remove", "n2")
	for range 2 {
		told.refuses("n2 stops: this node was removed from the group", "start it with an empty directory")
		told.start()
	}
	told.refuses("n2 stops: this node was removed from the group")
	c.troupe("put", "k", "v").want(t, "put to who is left", 0, "version 1\n", "")
	c.awaitMembers("n1")
	if o := c.troupe("member", "remove", "n1", "--yes"); o.code != exitFailed || !strings.Contains(o.err, "name at least one") {
		t.Errorf("the last one: %v", o)
	}
}

// A node whose directory was lost is told from the one that it was, and joins under its name when that one was removed.
func TestAWipedNodeJoinsAnew(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")
	n3 := c.all[2]
	n3.kill()
	n3.empty()
	n3.start()
	const otherDirectory = "it answers from another data directory than the group knows it by"
	c.awaitMembers("n1, n2, n3 is ill")
	eventually(t, 20*time.Second, "all say that n3 was wiped", func() bool {
		plain, list, status := c.troupe("member", "list").out, c.troupe("member", "list", "--json").out, c.troupe("status", "--json").out
		return strings.Contains(plain, otherDirectory) && strings.Contains(list, otherDirectory) && strings.Contains(status, otherDirectory)
	})

	n3.kill()
	n3.empty()
	members := c.all[0].clients + "," + c.all[1].clients
	n3.joining(members, "--cluster", "other")
	n3.start()
	n3.refuses(`the node is of the cluster "other", and this is troupe`)
	n3.empty()
	n3.joining(members)
	n3.start()
	n3.refuses("this node cannot join", "n3 is in the group with another data directory; remove n3 first")
	c.does("member", "remove", "n3")
	n3.args = append(n3.args, "--learner")
	n3.start()
	c.awaitMembers("n1, n2, n3 learns")
	n3.awaitPage("/readyz", 200, "ok")
	eventually(t, 20*time.Second, "n3 has joined", func() bool { return strings.Contains(n3.log(), "this node has joined") })
	n3.reads("k", "v")
	c.awaitMembers("n1, n2, n3 learns")
	c.does("member", "promote", "n3")
	c.awaitMembers("n1, n2, n3")
}

// reads asks this process, whatever it is in the group, in each way.
func (p *process) reads(key, value string) {
	p.t.Helper()
	kv := messagesconnect.NewKeyValueClient(http.DefaultClient, "http://"+p.clients)
	for _, how := range []messages.Consistency{
		messages.Consistency_LINEARIZABLE, messages.Consistency_LEASE, messages.Consistency_STALE,
	} {
		ctx, cancel := within(5 * time.Second)
		r, err := kv.Get(ctx, &messages.GetRequest{Key: key, Consistency: how})
		cancel()
		if err != nil || string(r.GetValue()) != value {
			p.t.Errorf("%s reads %v: %q, %v", p.id, how, r.GetValue(), err)
		}
	}
}

// Who joins waits for somebody who takes it in, and never begins a group of its own.
func TestAJoinerFoundsNothing(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := newProcesses(t)
	j := c.newcomer("n4")
	j.start()
	j.awaitPage("/readyz", 503, "no group is started", "no member took it in so far")
	j.stop()
	j.start()
	j.awaitPage("/readyz", 503, "no member took it in so far")
	j.awaitPage("/healthz", 200)
	for _, p := range c.all[:3] {
		p.start()
	}
	c.awaitMembers("n1, n2, n3, n4")
	j.awaitPage("/readyz", 200, "ok")
	j.stop()
	j.start()
	c.awaitMembers("n1, n2, n3, n4")
}

// Who joins, and was removed before it got the log, does not come back by itself.
func TestARemovedJoinerStaysOut(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	j := c.newcomer("n4", "--peer-listen", freeAddresses(t, 1)[0]) // nobody reaches it
	j.start()
	c.awaitMembers("n1, n2, n3, n4 learns is ill")
	eventually(t, 20*time.Second, "it knows that it was taken in", func() bool { return strings.Contains(j.log(), "node n4 listens") })
	c.does("member", "remove", "n4")
	j.awaitLog("n4 was removed; to add it again, start it with an empty directory")
	c.awaitMembers("n1, n2, n3")
	j.stop()
	j.start()
	eventually(t, 20*time.Second, "it is told again", func() bool { return strings.Count(j.log(), "n4 was removed; to add it again") >= 2 })
	c.awaitMembers("n1, n2, n3")
}

// Who would break the group needs to say so, and is told the truth when nobody knows what comes of it.
func TestTooFewLeft(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	n2, n3 := c.all[1], c.all[2]
	n3.kill()
	for range 2 {
		c.troupe("member", "remove", "n2").want(t, "remove", exitFailed, "",
			"refused: too few voters would be left: of the 2 that stay 1 answer, which is no majority")
	}
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")
	begun := func(string, string) bool { g, _ := c.members(); return g.Joint }
	o := signalled(t, syscall.SIGINT, begun, "member", "remove", "n2", "--yes", "--timeout", "30s",
		"--endpoints", strings.Join(c.endpoints(), ","))
	o.want(t, "a change that was interrupted", exitUnknown, "", "interrupted; the outcome is unknown")
	o = c.troupe("member", "remove", "n2", "--yes", "--timeout", "300ms")
	if o.code == exitDone {
		t.Errorf("it is done without the others: %v", o)
	}
	n3.start()
	c.does("member", "remove", "n2", "--yes")
	n2.refuses("n2 stops: this node was removed from the group")
	c.awaitMembers("n1, n3")
}

// Commands that cannot be done say why, and those that are done already succeed.
func TestMemberCommands(t *testing.T) {
	skipShort(t)
	t.Parallel()
	c := startProcesses(t)
	c.memberListIsExact()
	for line, why := range map[string]string{
		"member promote n9":             `refused: "n9" is not in the group`,
		"member demote n9":              `refused: "n9" is not in the group`,
		"member update n9 127.0.0.1:1":  `refused: "n9" is not in the group`,
		"member update n1 nowhere":      `refused: the group cannot have these members: the peer address "nowhere" is not host:port`,
		"member remove n+1":             `refused: the group cannot have these members: the member id "n+1" has the character`,
		"member remove n1 --group none": `refused: there is no group "none" on this node`,
		"transfer-leader n9":            `refused: the member cannot take over: "n9" is not in the group`,
	} {
		c.troupe(strings.Fields(line)...).want(t, line, exitFailed, "", why)
	}
	c.troupe("member", "update", "n1", c.all[1].peers).want(t, "the same address", exitFailed, "", "twice")
	c.does("member", "remove", "n9")
	c.does("member", "update", "n1", c.all[0].peers)

	c.does("member", "demote", "n3")
	c.awaitMembers("n1, n2, n3 learns")
	c.troupe("transfer-leader", "n3").want(t, "a learner leads", exitFailed, "", "refused: the member cannot take over: n3 has no vote")
	c.does("member", "promote", "n3")
	for _, id := range []string{"n1", "n2", "n3"} {
		c.does("transfer-leader", id)
		if o := c.troupe("status", "--json"); !strings.HasPrefix(o.out, `{"leader":"`+id+`"`) {
			t.Errorf("%s does not lead: %v", id, o)
		}
	}
	c.handAround(40)
	c.all[0].kill()
	if o := c.troupe("transfer-leader", "n1"); o.code != exitFailed || o.out != "" || !strings.Contains(o.err, "refused: the member ") {
		t.Errorf("a dead node leads: %v", o)
	}
	c.does("transfer-leader", "n2")
	c.does("member", "remove", "n1")
	c.awaitMembers("n2, n3")
}

// handAround makes each lead in turn. Each time it is told who leads now, and not who led just before.
func (c *processes) handAround(times int) {
	c.t.Helper()
	cl := c.client()
	for i := range times {
		to := c.all[i%3].id
		eventually(c.t, 20*time.Second, to+" leads", func() bool {
			ctx, cancel := within(10 * time.Second)
			defer cancel()
			leader, err := cl.TransferLeader(ctx, "", to)
			if err != nil && strings.Contains(err.Error(), "was not heard") {
				return false // a new leader has not heard it yet
			}
			if err != nil || leader != to {
				c.t.Fatalf("%s is to lead, and %q does: %v", to, leader, err)
			}
			return true
		})
	}
}

// memberListIsExact: scripts rely on the names.
func (c *processes) memberListIsExact() {
	c.t.Helper()
	var list map[string]any
	if err := json.Unmarshal([]byte(c.troupe("member", "list", "--json").out), &list); err != nil {
		c.t.Fatal(err)
	}
	members, _ := list["members"].([]any)
	if names := slices.Sorted(maps.Keys(list)); len(members) != 3 || strings.Join(names, " ") != "index joint members" {
		c.t.Errorf("member list has %v", list)
	}
	for i, m := range members {
		m, _ := m.(map[string]any)
		names := strings.Join(slices.Sorted(maps.Keys(m)), " ")
		store, _ := m["store_id"].(string)
		if names != "address client_address error id reachable store_id voter" || len(store) != 16 ||
			m["id"] != c.all[i].id || m["address"] != c.all[i].peers || m["client_address"] != c.all[i].clients ||
			m["voter"] != true || m["reachable"] != true || m["error"] != "" {
			c.t.Errorf("member list has %v", m)
		}
	}
}

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the processes are the same without -short")
	}
}
