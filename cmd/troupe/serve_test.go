package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory belongs to the node that founded it, so what is wrong with the node's name or addresses must be found before.
func TestServeFoundsNoDirectoryForAWrongNode(t *testing.T) {
	for line, want := range map[string]string{
		"--id n2 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2":                              "node n2 is not among the members",
		"--id n1 --peer-addr 127.0.0.1:3 --client-addr 127.0.0.1:2":                              "make them equal",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:99999":                          "give a number up to 65535",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr nowhere":                                  "is not host:port",
		"--id n1 --peer-addr 127.0.0.1:99999 --client-addr 127.0.0.1:2":                          "give a number up to 65535",
		"--id n/1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2":                             "use letters, digits",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:1":                              "cannot share",
		"--id n1 --peer-addr 127.0.0.1:1 --client-listen :99999 --client-addr 127.0.0.1:2":       "give a number up to 65535",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --initial-cluster n1":         "--initial-cluster: ",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --heartbeat 300ms":            "at least twice --heartbeat",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --peer-cert c --peer-key k":   "needs all of --peer-cert",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --client-cert c":              "both --client-cert and --client-key",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --client-key k":               "both --client-cert and --client-key",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --client-ca a":                "--client-ca is for TLS with clients",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --client-requests 0":          "must be at least 1",
		"--id n1 --peer-addr 127.0.0.1:1 --client-addr 127.0.0.1:2 --client-connections 9999999": "give 1 to 1048576",
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := append([]string{"serve", "--data-dir", dir, "--initial-cluster", "n1=127.0.0.1:1"}, strings.Fields(line)...)
		o := here(t, nil, args...)
		if o.code != exitUsage || o.out != "" || !strings.Contains(o.err, want) || strings.Count(o.err, "\n") != 1 {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: it makes the directory", line)
		}
	}
}

// Variables of scripts that are empty are no ids and no addresses.
func TestEmptyWordsAreRefused(t *testing.T) {
	somewhere := map[string]string{"TROUPE_ENDPOINTS": "127.0.0.1:1"}
	for _, id := range []string{"", "\xff"} {
		for _, args := range [][]string{{"member", "remove", id}, {"member", "promote", id}, {"transfer-leader", id}} {
			if o := here(t, somewhere, args...); o.code != exitUsage || !strings.Contains(o.err, "names no node") {
				t.Errorf("%q: %v", args, o)
			}
		}
	}
	serve := []string{"serve", "--id", "n1", "--data-dir", t.TempDir(), "--peer-addr", "127.0.0.1:1", "--client-addr", "127.0.0.1:2"}
	for join, want := range map[string]string{",": "--join names nobody", "": "--initial-cluster is missing", "n1": "is not an address"} {
		if o := here(t, nil, append(serve, "--join", join)...); o.code != exitUsage || !strings.Contains(o.err, want) {
			t.Errorf("--join %q: %v", join, o)
		}
	}
}

func TestKeysThatAreNoTextAreRefused(t *testing.T) {
	somewhere := map[string]string{"TROUPE_ENDPOINTS": "127.0.0.1:1"}
	for _, args := range [][]string{{"put", "k\xff", "v"}, {"get", "k\xff"}, {"delete", "k\xff"}, {"cas", "k\xff", "a", "b"}} {
		if o := here(t, somewhere, args...); o.code != exitUsage || !strings.Contains(o.err, "not UTF-8") {
			t.Errorf("%q: %v", args, o)
		}
	}
	for _, port := range []string{"99999", "-5", "0", "http"} {
		o := here(t, nil, "get", "k", "--endpoints", "127.0.0.1:"+port)
		if o.code != exitUsage || !strings.Contains(o.err, "from 1 to 65535") {
			t.Errorf("port %s: %v", port, o)
		}
	}
}
