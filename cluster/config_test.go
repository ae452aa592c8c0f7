package cluster

import (
	"context"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/actors"
)

func TestTLSForClientsIsWhole(t *testing.T) {
	for want, c := range map[string]Config{
		"":                                    {ClientAddr: "127.0.0.1:1", ClientTLS: &ClientTLS{CertFile: "c", KeyFile: "k"}},
		"needs a certificate and its key":     {ClientAddr: "127.0.0.1:1", ClientTLS: &ClientTLS{CertFile: "c", CAFile: "a"}},
		"TLS for clients needs a certificate": {ClientAddr: "127.0.0.1:1", ClientTLS: &ClientTLS{CAFile: "a"}},
		"has no client address":               {ClientTLS: &ClientTLS{CertFile: "c", KeyFile: "k"}},
	} {
		c.ID, c.DataDir, c.PeerAddr = "n1", "d", "127.0.0.1:2"
		err := c.Validate([]actors.Member{{ID: "n1", Address: c.PeerAddr}})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestParseMembers(t *testing.T) {
	members, err := ParseMembers(" n1=127.0.0.1:7001, n2=[::1]:7002 ,n3=host.example:7003")
	want := []actors.Member{
		{ID: "n1", Address: "127.0.0.1:7001"},
		{ID: "n2", Address: "[::1]:7002"},
		{ID: "n3", Address: "host.example:7003"},
	}
	if err != nil || !slices.Equal(members, want) {
		t.Fatal(members, err)
	}
	for list, says := range map[string]string{
		"":                               "list of members is empty",
		"  ":                             "list of members is empty",
		",":                              "nothing between two commas",
		"n1=h:1,":                        "nothing between two commas",
		"n1":                             `"n1" has no =`,
		"h:7001":                         "has no =",
		"=h:1":                           "member id is empty",
		"n1=":                            "member n1 has no address",
		"n1=h":                           "not host:port",
		"n1=h:":                          "up to 65535",
		"n1=:1":                          "no usable host",
		"n1=h:0":                         "port 0",
		"n1=h:65536":                     "up to 65535",
		"n1=h:-1":                        "up to 65535",
		"n1=h:+1":                        "up to 65535",
		"n1=h:007":                       "write it as 7",
		"n1=h:http":                      "up to 65535",
		"n1=::1:1":                       "not host:port",
		"n1=0.0.0.0:1":                   "cannot be dialed",
		"n1=[::]:1":                      "cannot be dialed",
		"n1=http://h:1":                  "not host:port",
		"n1=a=b:1":                       "no usable host",
		"n 1=h:1":                        `' '`,
		"n/1=h:1":                        `'/'`,
		"n1=h:1,n1=h:2":                  "n1 is listed twice",
		"n1=h:1,n2=h:1":                  "same address",
		"n1=h:1;n2=h:2":                  "not host:port",
		"ж=h:1":                          `'ж'`,
		"n1=h:1,n2=h:2,n2=":              "member n2 has no address",
		strings.Repeat("x", 65) + "=h:1": "at most 64",
	} {
		if _, err := ParseMembers(list); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want %q", list, err, says)
		}
	}
}

func TestParseMembersNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.StringMatching(`([a-z0-9=:.,\[\] /-]|\PC){0,40}`).Draw(t, "list")
		members, err := ParseMembers(list)
		if err == nil && len(members) == 0 {
			t.Fatal("neither members nor an error")
		}
	})
}

func TestPeersMayAddressServersAndReplicatorsOnly(t *testing.T) {
	for id, want := range map[string]bool{
		"node": true, "raft/kv": true, "raft/kv/replicator-n1-7-3": true,
		"journal": false, "raft/kv/machine": false, "": false, "raft": false, "raft/kv/": false,
		"guardian$1": false, "node/x": false, "$1": false,
	} {
		if fromPeers(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

func TestErrorsOfCallsAsClientsSeeThem(t *testing.T) {
	for err, code := range map[error]connect.Code{
		&unknownError{context.DeadlineExceeded}: connect.CodeAborted,
		&unknownError{context.Canceled}:         connect.CodeAborted,
		errNoAnswer:                             connect.CodeDeadlineExceeded,
	} {
		if seen := connect.CodeOf(RPCError(err)); seen != code {
			t.Errorf("%v is seen as %v; want %v", err, seen, code)
		}
	}
}

func TestMessagesHaveRoomForTheLargestEntry(t *testing.T) {
	if messageBytes(actors.Limits{}) != 16<<20 {
		t.Fatal(messageBytes(actors.Limits{}))
	}
	if got := messageBytes(actors.Limits{EntryBytes: 8 << 20}); got/4 < 8<<20+(256<<10) {
		t.Fatal(got)
	}
	limits := actors.Limits{ChunkBytes: 2 << 20}
	if err := limits.Validate(); err == nil || !strings.Contains(err.Error(), "chunk") {
		t.Fatalf("chunks of 2 MiB: %v", err)
	}
}
