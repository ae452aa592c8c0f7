//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/backup"
)

// inspected is what inspect says of a file.
func inspected(t *testing.T, path string) (info backup.Info) {
	t.Helper()
	o := troupe(t, "", "snapshot", "inspect", path, "--json")
	if o.code != exitDone || json.Unmarshal([]byte(o.out), &info) != nil {
		t.Fatalf("inspect %s: %v", path, o)
	}
	return info
}

// save saves a backup of the cluster.
func (c *processes) save(path string, args ...string) {
	c.t.Helper()
	o := c.troupe(append([]string{"snapshot", "save", path}, args...)...)
	if o.code != exitDone || !strings.HasPrefix(o.out, "saved: index ") || o.err != "" {
		c.t.Fatalf("save %s: %v", path, o)
	}
}

// startAnew stops the processes, and starts them with directories that only restored ones have.
func (c *processes) startAnew(restored map[string]string) {
	c.t.Helper()
	c.stop()
	for _, p := range c.all {
		dir := filepath.Join(c.t.TempDir(), p.id)
		p.args[4] = dir
		if file := restored[p.id]; file != "" {
			o := troupe(c.t, "", "snapshot", "restore", file, "--id", p.id, "--data-dir", dir, "--initial-cluster", c.list)
			if o.code != exitDone || !strings.HasPrefix(o.out, "restored: group kv begins with index ") {
				c.t.Fatalf("restore on %s: %v", p.id, o)
			}
		}
	}
	for _, p := range c.all {
		p.start()
	}
}

func (c *processes) stop() {
	c.t.Helper()
	for _, p := range c.all {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(os.Interrupt)
		}
	}
	for _, p := range c.all {
		if p.cmd != nil {
			p.wait(20 * time.Second)
		}
	}
}

func TestBackups(t *testing.T) {
	if testing.Short() {
		t.Skip("the processes are the same without -short")
	}
	t.Parallel()
	c := startProcesses(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writer := c.client()
	for i := range 20 {
		if _, err := writer.Put(t.Context(), fmt.Sprint("k", i), fmt.Append(nil, "v", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.save(in("all"))
	all := inspected(t, in("all"))
	if *all.Keys != 20 || all.Group != "kv" || all.Machine != "troupe/kv" || all.Format != 2 || len(all.Members) != 3 ||
		all.Members[0] != (backup.Member{ID: "n1", Address: c.all[0].peers}) {
		t.Errorf("%+v", all)
	}
	c.awaitAgreement()
	for _, p := range c.all {
		o := troupe(t, "", "snapshot", "save", in(p.id), "--local", "--endpoints", p.clients)
		if own := inspected(t, in(p.id)); o.code != 0 || own.StateHash != all.StateHash || own.ClusterID != all.ClusterID {
			t.Errorf("%s: %v, %+v; the leader's: %+v", p.id, o, own, all)
		}
	}
	c.troupe("snapshot", "save", in("all")).want(t, "a file that exists", 1, "", "exists: name another file")
	c.troupe("snapshot", "save", in("no/folder")).want(t, "no folder", 1, "", "cannot be written")
	c.troupe("snapshot", "save", in("g"), "--group", "g").want(t, "no group", 1, "", `there is no group "g" on this node`)
	running := c.all[0].args[4]
	for _, line := range []string{"check", "log dump"} {
		troupe(t, "", append(strings.Fields(line), "--data-dir", running)...).want(t, line, 1, "", "stop the node that runs there first")
	}
	restore := []string{"snapshot", "restore", in("all"), "--id", "n1", "--data-dir", running, "--initial-cluster", c.list}
	troupe(t, "", restore...).want(t, "restore over a running node", 1, "", "is not empty")
	if left, err := filepath.Glob(in("*")); err != nil || len(left) != 4 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	c.stop()
	checkStopped(t, running)

	c.startAnew(map[string]string{"n2": in("all")})
	c.awaitRestored(in("one"), all)
	c.troupe("put", "new", "value").want(t, "put", 0, "version 1\n", "")
	c.save(in("more"))
	c.startAnew(map[string]string{"n1": in("all"), "n2": in("all"), "n3": in("all")})
	c.awaitRestored(in("three"), all)
	c.startAnew(map[string]string{"n1": in("all"), "n2": in("all"), "n3": in("more")})
	for _, p := range c.all {
		eventually(t, 20*time.Second, p.id+" says that backups differ", func() bool {
			const why = "were restored from different backups"
			return strings.Contains(p.local().GetError(), why) && strings.Contains(p.log(), why)
		})
	}
}

// awaitRestored waits for a leader, and compares what every node has with the backup.
func (c *processes) awaitRestored(path string, was backup.Info) {
	c.t.Helper()
	c.awaitLeader()
	c.troupe("get", "k7").want(c.t, "get", 0, "v7", "")
	c.save(path)
	is := inspected(c.t, path)
	if is.StateHash != was.StateHash || is.ClusterID == was.ClusterID || *is.Keys != *was.Keys {
		c.t.Errorf("restored %+v of %+v", is, was)
	}
	c.awaitAgreement()
	for _, p := range c.all {
		own := path + p.id
		troupe(c.t, "", "snapshot", "save", own, "--local", "--endpoints", p.clients)
		if has := inspected(c.t, own); has.StateHash != was.StateHash {
			c.t.Errorf("%s has %+v", p.id, has)
		}
	}
}

// checkStopped looks at the directory of a node that had 20 writes. Who leads hands over when it stops, and the next leader appends a
// no-op.
func checkStopped(t *testing.T, dir string) {
	t.Helper()
	o := troupe(t, "", "check", "--data-dir", dir, "--json")
	dumped := troupe(t, "", "log", "dump", "--data-dir", dir).out
	last := fmt.Sprintf(`"group":"kv","first":1,"last":%d,`, strings.Count(dumped, "\n"))
	if o.code != 0 || !strings.Contains(o.out, last) || !strings.Contains(o.out, `"error":""`) {
		t.Errorf("check: %v", o)
	}
	if o := troupe(t, "", "check", "--data-dir", dir); o.code != 0 || !strings.Contains(o.out, "node n1 of cluster troupe") {
		t.Errorf("check: %v", o)
	}
	k1 := regexp.MustCompile(`(?m)^.*"key":"k1".*\n`).FindString(troupe(t, "", "log", "dump", "--data-dir", dir, "--json").out)
	var at struct{ Index, Term uint64 } // the first leader may have needed more terms than one
	if err := json.Unmarshal([]byte(k1), &at); err != nil || at.Index < 4 || at.Term == 0 {
		t.Errorf("dump: %q, %v", k1, err)
	}
	want := fmt.Sprintf(`{"index":%d,"term":%d,"kind":"command","bytes":25,"command":{"operation":"put","key":"k1"}}`, at.Index, at.Term)
	index := fmt.Sprint(at.Index)
	troupe(t, "", "log", "dump", "--data-dir", dir, "--from", index, "--to", index, "--json").want(t, "dump", 0, want+"\n", "")
	o = troupe(t, "", "log", "dump", "--data-dir", dir, "--to", "18446744073709551615")
	entries := strings.Count(o.out, "\n") - strings.Count(o.out, "  noop  ")
	founding := regexp.MustCompile(`  term \d+  founding  `)
	if o.code != 0 || entries != 22 || !founding.MatchString(o.out) || !strings.Contains(o.out, `put "k19"`) {
		t.Errorf("dump: %v", o)
	}
	troupe(t, "", "log", "dump", "--data-dir", dir, "--group", "g").want(t, "another group", 1, "", `there is no group "g"`)

	snapshots, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "*-*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("%v, %v", snapshots, err)
	}
	flip(t, snapshots[0], -1) // in the SHA-256, which a node does not compute when it starts
	troupe(t, "", "check", "--data-dir", dir).want(t, "a damaged snapshot",
		1, troupe(t, "", "check", "--data-dir", dir).out, "is damaged")
	flip(t, snapshots[0], 30)
	troupe(t, "", "check", "--data-dir", dir).want(t, "a damaged snapshot", 1, "", "is not what was written")
}

// flip changes the byte at offset, or from the end.
func flip(t *testing.T, path string, offset int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[(offset+len(content))%len(content)] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
