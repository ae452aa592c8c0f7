//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// aloneWithTLS starts a cluster of one node, and returns it and its log.
func aloneWithTLS(t *testing.T, extra ...string) *process {
	t.Helper()
	addresses := freeAddresses(t, 2)
	dir := t.TempDir()
	p := &process{t: t, id: "n1", peers: addresses[0], clients: addresses[1], logPath: filepath.Join(dir, "log")}
	p.args = append([]string{
		"serve", "--id", p.id, "--data-dir", filepath.Join(dir, "data"), "--peer-addr", p.peers, "--client-addr", p.clients,
		"--initial-cluster", "n1=" + p.peers,
	}, extra...)
	p.start()
	t.Cleanup(p.kill)
	return p
}

// Every command that talks to a cluster does so with TLS, and says what is wrong when it cannot.
func TestCommandsOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	node, stranger := ours.flags("node"), theirs.flags("stranger")
	cert, key, ca := node[1], node[3], node[5]
	secure := aloneWithTLS(t, "--client-cert", cert, "--client-key", key, "--client-ca", ca)
	plain := aloneWithTLS(t)

	known := []string{"--endpoints", secure.clients, "--cacert", ca, "--cert", cert, "--key", key, "--timeout", "20s"}
	saved := filepath.Join(t.TempDir(), "backup")
	for _, c := range []struct{ line, out string }{
		{"put k v", "version 1\n"}, {"get k", "v"}, {"cas k v w", "version 2\n"}, {"delete k", ""}, {"status", "n1 leads."},
		{"snapshot save " + saved, "saved: "}, {"bench --op put --clients 4 --duration 100ms --warmup 10ms", "put"},
	} {
		o := troupe(t, "", append(strings.Fields(c.line), known...)...)
		if o.code != exitDone || !strings.HasPrefix(o.out, c.out) && c.out != "put" {
			t.Errorf("%s: %v", c.line, o)
		}
	}
	t.Setenv("TROUPE_CACERT", ca)
	t.Setenv("TROUPE_CERT", cert)
	t.Setenv("TROUPE_KEY", key)
	troupe(t, "", "get", "k", "--endpoints", secure.clients).want(t, "get by the environment", exitFailed, "", "no key")
	for _, name := range []string{"TROUPE_CACERT", "TROUPE_CERT", "TROUPE_KEY"} {
		t.Setenv(name, "")
	}

	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{secure.clients}, "speaks TLS, and this client does not"},
		{[]string{plain.clients, "--cacert", ca}, "speaks no TLS, and this client does"},
		{[]string{secure.clients, "--cacert", ca}, "serves only clients with a certificate"},
		{[]string{secure.clients, "--cacert", ca, "--cert", stranger[1], "--key", stranger[3]}, "refuses this client"},
		{[]string{secure.clients, "--cacert", stranger[5], "--cert", cert, "--key", key}, "signed by no authority"},
		{[]string{"localhost" + secure.clients[strings.Index(secure.clients, ":"):], "--cacert", ca, "--cert", cert, "--key", key},
			"does not name localhost"},
		{[]string{secure.clients, "--cacert", ca, "--cert", cert, "--key", none}, "no such file"},
		{[]string{secure.clients, "--cacert", none}, "no such file"},
	} {
		for _, line := range []string{"put k v", "get k", "status", "snapshot save " + none} {
			args := append(strings.Fields(line), "--timeout", "30s", "--endpoints")
			o := here(t, nil, append(args, c.args...)...)
			if o.code != exitFailed || o.out != "" || !strings.Contains(o.err, c.want) || strings.Count(o.err, "\n") != 1 {
				t.Errorf("%s %v: want %q\n%v", line, c.args, c.want, o)
			}
		}
	}
	if n := strings.Count(secure.log(), "level=WARN"); n > 10 {
		t.Errorf("%d warnings:\n%s", n, secure.log())
	}
}

// What is wrong with the files is found before anything is made.
func TestServeSaysWhatIsWrongWithTLS(t *testing.T) {
	files := newAuthority(t).flags("node")
	cert, key, none := files[1], files[3], filepath.Join(t.TempDir(), "none")
	for line, want := range map[string]string{
		cert + " --client-key " + none:                         "no such file",
		none + " --client-key " + key:                          "no such file",
		key + " --client-key " + key:                           "give PEM files that belong together",
		cert + " --client-key " + key + " --client-ca " + key:  "holds no certificate",
		cert + " --client-key " + key + " --client-ca " + none: "no such file",
		newAuthority(t).flags("x")[1] + " --client-key " + key: "give PEM files that belong together",
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := append([]string{"serve", "--id", "n1", "--data-dir", dir, "--peer-addr", "127.0.0.1:1", "--client-addr", "127.0.0.1:2",
			"--initial-cluster", "n1=127.0.0.1:1", "--client-cert"}, strings.Fields(line)...)
		o := here(t, nil, args...)
		if o.code != exitFailed || o.out != "" || !strings.Contains(o.err, want) {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: it makes the directory", line)
		}
	}
}
