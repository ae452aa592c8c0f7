//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (o outcome) want(t *testing.T, what string, code int, out, err string) {
	t.Helper()
	if o.code != code || o.out != out || !strings.Contains(o.err, err) || err == "" && o.err != "" {
		t.Errorf("%s: want exit code %d, %q on stdout and %q on stderr\n%v", what, code, out, err, o)
	}
}

func TestKeysAndValues(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	c.troupe("put", "a", "one").want(t, "put", 0, "version 1\n", "")
	c.troupe("put", "a", "two").want(t, "put again", 0, "version 2\n", "")
	c.troupe("get", "a").want(t, "get", 0, "two", "")
	c.troupe("get", "nope").want(t, "get of nothing", 1, "", `there is no key "nope"`)
	c.troupe("cas", "a", "two", "three").want(t, "cas", 0, "version 3\n", "")
	c.troupe("cas", "a", "two", "four").want(t, "cas with an old value", 1, "", `the key "a" has another value, at version 3`)
	c.troupe("cas", "nope", "two", "four").want(t, "cas of nothing", 1, "", `there is no key "nope"`)
	c.troupe("cas", "b", "first", "--absent").want(t, "cas of an absent key", 0, "version 1\n", "")
	c.troupe("cas", "b", "first", "--absent").want(t, "cas of a present key", 1, "", `the key "b" exists`)
	c.troupe("put", "e", "").want(t, "empty value", 0, "version 1\n", "")
	c.troupe("get", "e").want(t, "get of an empty value", 0, "", "")
	c.troupe("cas", "e", "", "x").want(t, "cas of an empty value", 0, "version 2\n", "")
	c.troupe("put", "dash", "--", "-v").want(t, "a flag after --", 2, "", "arguments are given")
	c.troupe("delete", "a").want(t, "delete", 0, "", "")
	c.troupe("delete", "a").want(t, "delete again", 1, "", `there is no key "a"`)

	endpoints := []string{"--endpoints", strings.Join(c.endpoints(), ",")}
	raw := "raw\x00bytes\n\xff"
	above := "version 4\n" // that of a, which is deleted
	troupe(t, raw, append([]string{"put", "raw", "-"}, endpoints...)...).want(t, "put from stdin", 0, above, "")
	c.troupe("get", "raw").want(t, "get raw", 0, raw, "")
	huge := strings.Repeat("x", 1100<<10)
	troupe(t, huge, append([]string{"put", "huge", "-"}, endpoints...)...).want(t, "huge value", 1, "", "the value has 1126400 bytes")
	c.troupe("put", strings.Repeat("k", 5000), "v").want(t, "long key", 1, "", "the key has 5000 bytes")

	// The exit code tells what became of a write, whoever reads the answer.
	for _, command := range []struct {
		line string
		code int
		err  string
	}{
		{"put mute v", exitMute, "the write is done (version 4), but that could not be printed"},
		{"cas mute v w", exitMute, "the write is done (version 5), but that could not be printed"},
		{"get mute", exitFailed, ""},
		{"status", exitFailed, ""},
		{"delete mute", exitDone, ""},
	} {
		args := append(strings.Fields(command.line), endpoints...)
		o := troupeTo(t, nowhere(t), args...)
		if o.code != command.code || !strings.Contains(o.err, command.err) || (o.err == "") != (o.code == exitDone) {
			t.Errorf("%s without a reader: %v", command.line, o)
		}
	}

	args := append([]string{"put", "mute", "v"}, endpoints...)
	if o := troupeTo(t, unread(t), args...); o.code != exitMute || !strings.Contains(o.err, "the write is done") {
		t.Errorf("put into a broken pipe: %v", o)
	}

	// One endpoint that does not lead is enough, and one that is dead does no harm.
	for _, p := range c.all {
		troupe(t, "", "get", "b", "--endpoints", p.clients).want(t, "get by way of "+p.id, 0, "first", "")
		troupe(t, "", "get", "b", "--endpoints", "127.0.0.1:1,"+p.clients).want(t, "get past a dead endpoint", 0, "first", "")
	}
}

// nowhere is where nothing can be written: a full device, or where there is none, a pipe that nobody reads.
func nowhere(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return unread(t)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// troupeTo runs the binary with an output of its own.
func troupeTo(t *testing.T, out *os.File, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(builtBinary(t), args...)
	cmd.SysProcAttr = endWithParent()
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = out, &errs
	_ = cmd.Run() // the exit code says it
	return outcome{code: cmd.ProcessState.ExitCode(), err: errs.String()}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	leader := c.awaitLeader()
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")
	c.awaitAgreement()
	o := c.troupe("status", "--json")
	var s clusterJSON
	if err := json.Unmarshal([]byte(o.out), &s); err != nil || o.code != 0 {
		t.Fatalf("status --json: %v\n%v", err, o)
	}
	if s.Leader != leader.id || len(s.Members) != 3 {
		t.Errorf("leader %q and %d members, want %q and 3", s.Leader, len(s.Members), leader.id)
	}
	for _, m := range s.Members {
		want := "follower"
		if m.ID == leader.id {
			want = "leader"
		}
		if m.Role != want || m.Term == 0 || m.CommitIndex == 0 || m.AppliedIndex == 0 || m.LastIndex < 2 || !m.Reachable || m.Error != "" {
			t.Errorf("member: %+v", m)
		}
	}
	var follower *process
	for _, p := range c.all {
		if p != leader {
			follower = p
		}
	}
	follower.kill()
	o = c.troupe("status")
	if o.code != 0 || !strings.Contains(o.out, leader.id+" leads.") || !strings.Contains(o.out, follower.id+"    -") {
		t.Errorf("status with a dead node: %v", o)
	}
	o = c.troupe("status", "--json")
	if err := json.Unmarshal([]byte(o.out), &s); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Members {
		if m.ID == follower.id && (m.Reachable || m.Error == "" || m.Role != "") {
			t.Errorf("a dead member: %+v", m)
		}
	}
}

// While no majority runs, a command says that it was not done.
func TestWithoutAMajority(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	leader := c.awaitLeader()
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")
	for _, p := range c.all {
		if p != leader {
			p.freeze()
		}
	}
	troupe(t, "", "put", "k", "w", "--timeout", "2s", "--endpoints", leader.clients).
		want(t, "put without a majority", 1, "", "no server did it within")
	troupe(t, "", "get", "k", "--timeout", "1s", "--endpoints", leader.clients).
		want(t, "get without a majority", 1, "", "no server did it within")
	for _, p := range c.all {
		if p != leader {
			p.signal(syscall.SIGCONT)
		}
	}
	c.troupe("get", "k").want(t, "get afterwards", 0, "v", "")
}

// Anything that speaks HTTP and JSON is a client.
func TestJSON(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	url := "http://" + c.awaitLeader().clients
	post := func(method, body string) (int, string) {
		t.Helper()
		r, err := http.Post(url+"/troupe.client.v1."+method, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer // protobuf's JSON has spaces at random, on purpose
		if err := json.Compact(&compact, text); err != nil {
			t.Fatalf("%s: %v: %s", method, err, text)
		}
		return r.StatusCode, compact.String()
	}
	for _, step := range []struct {
		method, body string
		code         int
		want         string
	}{
		{"KeyValue/Put", `{"key":"a","value":"aGVsbG8="}`, 200, `{"version":"1","index":"`},
		{"KeyValue/Get", `{"key":"a"}`, 200, `{"found":true,"value":"aGVsbG8=","version":"1","index":"`},
		{"KeyValue/CompareAndSwap", `{"key":"a","oldValue":"aGVsbG8=","newValue":"eA=="}`, 200, `{"swapped":true,"version":"2","index":"`},
		{"KeyValue/Delete", `{"key":"a"}`, 200, `{"deleted":true,"index":"`},
		{"KeyValue/Put", `{"key":"","value":""}`, 400, `invalid_argument`},
		{"KeyValue/Put", `{"kee":"a"}`, 400, `kee`},
		{"KeyValue/Put", `{"key":1}`, 400, `invalid_argument`},
		{"KeyValue/Put", `{"key"`, 400, `invalid_argument`},
		{"Cluster/Status", `{}`, 200, `"leader":`},
	} {
		code, text := post(step.method, step.body)
		if code != step.code || !strings.Contains(text, step.want) {
			t.Errorf("%s %s: %d %s, want %d %s", step.method, step.body, code, text, step.code, step.want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r, err := http.Get(url + path); err != nil || r.StatusCode != 200 {
			t.Errorf("%s: %v %v", path, r, err)
		}
	}
}

// serve says why it does not start.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	p, other := c.all[0], c.all[1]
	with := func(p *process, name, value string) []string {
		args := append([]string(nil), p.args...)
		for i, arg := range args {
			if arg == name {
				args[i+1] = value
			}
		}
		return args
	}
	elsewhere := with(p, "--client-addr", "127.0.0.1:0")
	troupe(t, "", p.args...).want(t, "the same node again", 1, "", p.clients)
	troupe(t, "", elsewhere...).want(t, "a peer port that is taken", 1, "", p.peers)
	troupe(t, "", append(elsewhere, "--peer-listen", "127.0.0.1:0")...).want(t, "a directory in use", 1, "", "in use")
	p.kill()
	other.kill()
	for what, o := range map[string]outcome{
		"another node's directory":    troupe(t, "", with(p, "--data-dir", filepath.Join(filepath.Dir(other.logPath), other.id))...),
		"another cluster's directory": troupe(t, "", append(p.args, "--cluster", "other")...),
		"a directory that is a file":  troupe(t, "", with(p, "--data-dir", p.logPath)...),
		"certificates that are not":   troupe(t, "", append(p.args, "--peer-cert", "c", "--peer-key", "k", "--peer-ca", "a")...),
	} {
		if o.code != 1 || o.out != "" || !strings.HasPrefix(lastLine(o.err), "troupe serve: ") {
			t.Errorf("%s: want exit code 1 and a sentence\n%v", what, o)
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func TestTimingFlags(t *testing.T) {
	c := startProcesses(t, "--heartbeat", "20ms", "--election-timeout", "100ms", "--log-level", "error", "--cluster", "quick")
	c.troupe("put", "k", "v").want(t, "put", 0, "version 1\n", "")
	leader := c.awaitLeader()
	leader.freeze()
	start := time.Now()
	c.troupe("put", "k", "w").want(t, "put past a frozen leader", 0, "version 2\n", "")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the put took %v with an election timeout of 100 ms", took)
	}
	leader.signal(syscall.SIGCONT)
	want := fmt.Sprintf("node %s listens: peers on %s, clients on %s\n", leader.id, leader.peers, leader.clients)
	if log := leader.log(); !strings.Contains(log, want) {
		t.Errorf("the log has no line %q:\n%s", want, log)
	}
}

func TestBenchEndpoints(t *testing.T) {
	t.Parallel()
	c := startProcesses(t)
	// The environment alone is not enough to write into a cluster.
	cmd := exec.Command(builtBinary(t), "bench", "--clients", "4", "--duration", "50ms", "--warmup", "0", "--dir", t.TempDir())
	cmd.SysProcAttr = endWithParent()
	cmd.Env = append(os.Environ(), "TROUPE_ENDPOINTS="+strings.Join(c.endpoints(), ","))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "starting 3 nodes in this process") {
		t.Errorf("bench: %v\n%s", err, out)
	}
	c.troupe("get", "00000000").want(t, "a key of bench", 1, "", "there is no key")

	for _, op := range []string{"put", "get"} {
		o := c.troupe("bench", "--op", op, "--clients", "16", "--duration", "300ms", "--warmup", "0", "--json")
		if m := numbers(t, strings.TrimSpace(o.out)); o.code != 0 || m["ops_per_second"] <= 0 || m["errors"] != 0 {
			t.Errorf("bench %s: %v", op, o)
		}
	}
	o := c.troupe("bench", "--op", "mixed", "--clients", "4", "--duration", "300ms", "--warmup", "0")
	if o.code != 0 || !regexp.MustCompile(`4 clients: +[1-9]\d* mixed/s`).MatchString(o.out) || !strings.Contains(o.out, ", 0 errors") {
		t.Errorf("bench: %v", o)
	}
}
