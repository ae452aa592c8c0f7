//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/offline"
)

// recover runs the command on the process's directory, and returns what it says of the group kv.
func (p *process) recover(code int, why string, flags ...string) (g offline.RecoveredGroup) {
	p.t.Helper()
	var r offline.Recovered
	o := troupe(p.t, "", append([]string{"recover", "--data-dir", p.args[4], "--json"}, flags...)...)
	if o.code != code || !strings.Contains(o.err, why) || why == "" && o.err != "" {
		p.t.Fatalf("recover %v on %s: want exit code %d and %q\n%v", flags, p.id, code, why, o)
	}
	if o.out == "" {
		return g
	}
	if err := json.Unmarshal([]byte(o.out), &r); err != nil || r.Node != p.id || len(r.Groups) != 1 || r.Groups[0].Name != "kv" {
		p.t.Fatalf("recover on %s: %v, %v", p.id, o, err)
	}
	return r.Groups[0]
}

// serves waits until the process leads alone, and checks that it has all values, and takes more.
func (p *process) serves(values map[string]string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, p.id+" leads alone", func() bool { return p.local().GetRole() == "leader" })
	cl := client.New([]string{p.clients})
	defer cl.Close()
	key := fmt.Sprint("more", len(values))
	values[key] = key
	if _, err := cl.Put(p.t.Context(), key, []byte(key)); err != nil {
		p.t.Fatal(err)
	}
	for key, value := range values {
		if has, _, _, err := cl.Get(p.t.Context(), key); err != nil || string(has) != value {
			p.t.Errorf("%s is %q, %v", key, has, err)
		}
	}
}

// Two of three nodes are lost. The third goes on alone, with all that it had, and knows the others no more when they come back.
func TestLostQuorum(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are the same without -short")
	}
	t.Parallel()
	c := startProcesses(t)
	values, writer := map[string]string{}, c.client()
	for i := range 20 {
		key := fmt.Sprint("k", i)
		values[key] = fmt.Sprint("v", i)
		if _, err := writer.Put(t.Context(), key, []byte(values[key])); err != nil {
			t.Fatal(err)
		}
	}
	c.awaitAgreement()
	survivor, others := c.all[1], []*process{c.all[0], c.all[2]}
	survivor.recover(exitFailed, "is in use: stop the node that runs there first", "--yes")
	for _, p := range c.all {
		p.kill()
	}

	had := survivor.recover(exitDone, "", "--dry-run")
	if had.LastTerm == 0 || had.LastIndex < 22 || had.CommitHint > had.LastIndex || len(had.Members) != 3 || had.Part != "voter" ||
		had.Members[2] != (offline.RecoveredMember{ID: "n3", Address: c.all[2].peers, Part: "voter"}) ||
		had.Recovered || had.NewClusterID != "" {
		t.Errorf("%+v", had)
	}
	if again := survivor.recover(exitFailed, "nothing was changed"); fmt.Sprint(again) != fmt.Sprint(had) {
		t.Errorf("%+v became %+v", had, again)
	}
	survivor.recover(exitFailed, `there is no group "g"`, "--group", "g", "--yes")
	for _, p := range others {
		p.recover(exitDone, "", "--dry-run", "--group", "kv")
	}
	now := survivor.recover(exitDone, "", "--yes")
	if !now.Recovered || now.NewClusterID == had.ClusterID || now.LastIndex != had.LastIndex {
		t.Errorf("%+v became %+v", had, now)
	}
	survivor.start()
	survivor.serves(values)
	term, file := survivor.local().GetTerm(), filepath.Join(t.TempDir(), "backup")
	troupe(t, "", "snapshot", "save", file, "--endpoints", survivor.clients)
	if saved := inspected(t, file); saved.ClusterID != now.NewClusterID || len(saved.Members) != 1 {
		t.Errorf("a snapshot is of %+v, and not of cluster %s", saved, now.NewClusterID)
	}

	comeBack(t, others)
	survivor.serves(values)
	if now := survivor.local(); now.GetTerm() != term {
		t.Errorf("the term rose from %d to %d", term, now.GetTerm())
	}
	for _, p := range others {
		if o := troupe(t, "", "get", "more20", "--endpoints", p.clients); o.code == exitDone {
			t.Errorf("%s has what was written without it: %v", p.id, o)
		}
	}

	others[0].joins(survivor)
	survivor.kill()
	others[0].kill()
	then := survivor.recover(exitDone, "", "--yes")
	if then.ClusterID != now.NewClusterID || then.LastTerm <= had.LastTerm || len(then.Members) != 2 {
		t.Errorf("%+v became %+v", now, then)
	}
	survivor.start()
	survivor.serves(values)
}

// comeBack starts those who were left behind: they are a majority of what was.
func comeBack(t *testing.T, others []*process) {
	t.Helper()
	for _, p := range others {
		p.start()
	}
	for _, p := range others {
		eventually(t, 30*time.Second, p.id+" says that it is not wanted", func() bool {
			return strings.Contains(p.log(), "it refuses this node") || strings.Contains(p.log(), "a node of another cluster answers")
		})
	}
	eventually(t, 20*time.Second, "they have a leader of their own", func() bool {
		roles := map[string]int{}
		for _, p := range others {
			roles[p.local().GetRole()]++
		}
		return roles["leader"] == 1 && roles["follower"] == 1
	})
}

// joins lets the process come into the member's cluster with a new directory.
func (p *process) joins(member *process) {
	p.t.Helper()
	p.kill()
	p.args = []string{
		"serve", "--id", p.id, "--data-dir", p.t.TempDir(), "--peer-addr", p.peers, "--client-addr", p.clients, "--join", member.clients,
	}
	p.start()
	eventually(p.t, 30*time.Second, p.id+" has joined", func() bool { return strings.Contains(p.log(), "this node has joined") })
	goal := member.local().GetCommitIndex()
	eventually(p.t, 20*time.Second, p.id+" has everything", func() bool { return p.local().GetAppliedIndex() >= goal })
	troupe(p.t, "", "get", "more20", "--endpoints", p.clients).want(p.t, "get", exitDone, "more20", "")
}

// What people read says what is at stake, and what comes next.
func TestRecoverySays(t *testing.T) {
	g := offline.RecoveredGroup{
		Name: "kv", LastTerm: 3, LastIndex: 12, CommitHint: 10, ClusterID: "0000000000000001", Part: "learner", Wiped: true,
		Members: []offline.RecoveredMember{{ID: "n1", Address: "a:1", Part: "voter"}, {ID: "n2", Address: "long:1", Part: "learner"}},
	}
	var out strings.Builder
	if err := printRecovered(&out, &offline.Recovered{Node: "n2", Groups: []offline.RecoveredGroup{g}}); err != nil {
		t.Fatal(err)
	}
	want := `group kv: last term 3, last index 12, commit hint 10, cluster id 0000000000000001
  n1  a:1     voter
  n2  long:1  learner, this node
  Node n2 was only a learner: nothing that was acknowledged had to be here.
  The members know node n2 by another directory: this one did not count.
  Entries 11 to 12 may have been uncommitted, and come to life.
  Entries that others had behind term 3, index 12 are lost, though they were acknowledged.

`
	if out.String() != want {
		t.Errorf("it says\n%s\nand not\n%s", &out, want)
	}
	g.Part, g.Wiped, g.CommitHint, g.Recovered, g.NewClusterID = "absent", false, 12, true, "0000000000000002"
	out.Reset()
	if err := printRecovered(&out, &offline.Recovered{Node: "n2", Groups: []offline.RecoveredGroup{g}}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"n2 was not in the group any more",
		"Recovered: it goes on with node n2 alone, as cluster 0000000000000002.\n\nStart node n2 as before.",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, &out)
		}
	}
	if strings.Contains(out.String(), "come to life") {
		t.Errorf("nothing is behind the commit hint:\n%s", &out)
	}
}

func TestRecoverRefuses(t *testing.T) {
	here(t, nil, "recover").want(t, "no directory", exitUsage, "", "--data-dir is missing")
	here(t, nil, "recover", "--data-dir", "d", "--dry-run", "--yes").want(t, "both", exitUsage, "", "--dry-run changes nothing")
	for _, flag := range []string{"--dry-run", "--yes"} {
		o := here(t, nil, "recover", "--data-dir", t.TempDir(), flag)
		o.want(t, "an empty directory", exitFailed, "", "there is no node's data directory")
	}
}

func TestRecoverHelpHasTheOrderOfWork(t *testing.T) {
	text := strings.Join(strings.Fields(here(t, nil, "help", "recover").out), " ")
	last := 0
	for _, step := range []string{
		"Stop all survivors", "recover --dry-run on every survivor", "highest last term", "highest last index",
		"recover --yes there, and nowhere else", "Start that node", "empty directories",
	} {
		at := strings.Index(text, step)
		if at <= last {
			t.Errorf("%q is missing, or comes too early:\n%s", step, text)
		}
		last = at
	}
}
