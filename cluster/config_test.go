package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

func TestParseMembers(t *testing.T) {
	members, err := ParseMembers(" n1=127.0.0.1:7001, n2=[::1]:7002 ,n3=host.example:7003")
	want := []actors.Member{{ID: "n1", Address: "127.0.0.1:7001"}, {ID: "n2", Address: "[::1]:7002"}, {ID: "n3", Address: "host.example:7003"}}
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
		"journal": false, "raft/kv/machine": false, "": false, "raft": false, "raft/kv/": false, "guardian$1": false, "node/x": false, "$1": false,
	} {
		if fromPeers(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

func TestErrorsAsClientsSeeThem(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   connect.Code
		detail any
	}{
		{&actors.NotLeaderError{LeaderID: "n2", ClientAddress: "h:1"}, connect.CodeFailedPrecondition, &messages.NotLeader{LeaderId: "n2", ClientAddress: "h:1"}},
		{&actors.NotLeaderError{}, connect.CodeFailedPrecondition, &messages.NotLeader{}},
		{actors.ErrNotLeader, connect.CodeFailedPrecondition, &messages.NotLeader{}},
		{actors.ErrOutcomeUnknown, connect.CodeAborted, &messages.OutcomeUnknown{}},
		{&unknownError{context.DeadlineExceeded}, connect.CodeAborted, &messages.OutcomeUnknown{}},
		{&unknownError{context.Canceled}, connect.CodeAborted, &messages.OutcomeUnknown{}},
		{actors.ErrOverloaded, connect.CodeResourceExhausted, nil},
		{actors.ErrTooLarge, connect.CodeInvalidArgument, nil},
		{&actors.RejectedError{Reason: errors.New("no")}, connect.CodeInvalidArgument, nil},
		{actors.ErrStorageFailed, connect.CodeUnavailable, nil},
		{actors.ErrGroupFailed, connect.CodeUnavailable, nil},
		{actors.ErrClosed, connect.CodeUnavailable, nil},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded, nil},
		{errNoAnswer, connect.CodeDeadlineExceeded, nil},
		{context.Canceled, connect.CodeCanceled, nil},
		{errors.New("a machine's own"), connect.CodeUnknown, nil},
		{connect.NewError(connect.CodeNotFound, errors.New("x")), connect.CodeNotFound, nil},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			seen := RPCError(err)
			if connect.CodeOf(seen) != c.code {
				t.Errorf("%v: %v; want %v", err, connect.CodeOf(seen), c.code)
			}
			var coded *connect.Error
			if c.detail == nil || !errors.As(seen, &coded) {
				continue
			}
			value, detailErr := coded.Details()[0].Value()
			if detailErr != nil || fmt.Sprint(value) != fmt.Sprint(c.detail) {
				t.Errorf("%v: detail %v, want %v", err, value, c.detail)
			}
		}
	}
	if RPCError(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestMessagesHaveRoomForTheLargestEntry(t *testing.T) {
	if messageBytes(actors.Limits{}) != 16<<20 {
		t.Fatal(messageBytes(actors.Limits{}))
	}
	if got := messageBytes(actors.Limits{EntryBytes: 8 << 20}); got/4 < 8<<20+(256<<10) {
		t.Fatal(got)
	}
}

func TestLimitsOfClients(t *testing.T) {
	c := Config{ID: "n1", DataDir: "d", PeerAddr: "127.0.0.1:1"}
	c.setDefaults()
	if err := c.validate(); err != nil || c.Clients.Requests != 4096 {
		t.Fatal(c.Clients, err)
	}
	for says, change := range map[string]func(*ClientLimits){
		"-1 connections":                func(l *ClientLimits) { l.Connections = -1 },
		"2097152 requests":              func(l *ClientLimits) { l.Requests = 1 << 21 },
		"1000 bytes for requests":       func(l *ClientLimits) { l.RequestBytes = 1000 },
		"-1 for answers":                func(l *ClientLimits) { l.AnswerBytes = -1 },
		"-1s, 250ms and 1s of clients":  func(l *ClientLimits) { l.Slow = -time.Second },
		"30s, -1s and 1s of clients":    func(l *ClientLimits) { l.Still = -time.Second },
		"30s, 250ms and -1s of clients": func(l *ClientLimits) { l.Patience = -time.Second },
	} {
		wrong := c
		change(&wrong.Clients)
		if err := wrong.validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}
