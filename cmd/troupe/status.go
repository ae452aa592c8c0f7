package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

func statusCommand() *command {
	return &command{
		name:    "status",
		summary: "Show who leads and how far every node is.",
		text: `
Asks one node, which asks its peers. Exit code 0 tells that a node answered, not that all is well. With --json:
  {"leader","members":[{"id","role","term","commit_index","applied_index","last_index","reachable","error","first_index",
  "snapshot_index","snapshot_bytes","log_bytes","replication","progress"}]}
where leader is empty when there is none, role is leader, follower or candidate, or empty when unknown, and error says
why a member cannot serve. The log begins at first_index; the newest snapshot has all up to snapshot_index; replication is how the
leader sends to a member: probing, streaming or installing (a snapshot, of which progress is there, from 0 to 1).
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r remote
			r.register(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, t *terminal, _ []string) error {
				return r.use(ctx, t, func(ctx context.Context, c *client.Client) error {
					status, err := c.Status(ctx)
					switch {
					case err != nil:
						return err
					case *asJSON:
						return json.NewEncoder(t.out).Encode(statusJSON(status))
					}
					return printStatus(t.out, status)
				})
			}
		},
	}
}

type clusterJSON struct {
	Leader  string       `json:"leader"`
	Members []memberJSON `json:"members"`
}

type memberJSON struct {
	ID           string `json:"id"`
	Role         string `json:"role"`
	Term         uint64 `json:"term"`
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	LastIndex    uint64 `json:"last_index"`
	Reachable    bool   `json:"reachable"`
	Error        string `json:"error"`

	FirstIndex    uint64  `json:"first_index"`
	SnapshotIndex uint64  `json:"snapshot_index"`
	SnapshotBytes uint64  `json:"snapshot_bytes"`
	LogBytes      uint64  `json:"log_bytes"`
	Replication   string  `json:"replication"`
	Progress      float64 `json:"progress"`
	SnapshotError string  `json:"snapshot_error,omitempty"`
}

func statusJSON(s *messages.StatusResponse) clusterJSON {
	c := clusterJSON{Leader: s.GetLeader(), Members: []memberJSON{}}
	for _, m := range s.GetMembers() {
		c.Members = append(c.Members, memberJSON{
			ID: m.GetId(), Role: m.GetRole(), Term: m.GetTerm(),
			CommitIndex: m.GetCommitIndex(), AppliedIndex: m.GetAppliedIndex(), LastIndex: m.GetLastIndex(),
			Reachable: m.GetReachable(), Error: m.GetError(),
			FirstIndex: m.GetFirstIndex(), SnapshotIndex: m.GetSnapshotIndex(), SnapshotBytes: m.GetSnapshotBytes(),
			LogBytes: m.GetLogBytes(), Replication: m.GetReplication(), Progress: m.GetProgress(), SnapshotError: m.GetSnapshotError(),
		})
	}
	return c
}

func printStatus(w io.Writer, s *messages.StatusResponse) error {
	if leader := s.GetLeader(); leader != "" {
		fmt.Fprintf(w, "%s leads.\n\n", leader)
	} else {
		fmt.Fprintf(w, "%s.\n\n", noLeader(s))
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tROLE\tTERM\tFIRST\tLAST\tCOMMITTED\tAPPLIED\tPEERS\tCLIENTS\tSTATE")
	for _, m := range s.GetMembers() {
		known := m.GetReachable()
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.GetId(), orDash(m.GetRole(), known),
			number(m.GetTerm(), known), number(m.GetFirstIndex(), known), number(m.GetLastIndex(), known),
			number(m.GetCommitIndex(), known), number(m.GetAppliedIndex(), known),
			orDash(m.GetPeerAddress(), true), orDash(m.GetClientAddress(), true), state(m))
	}
	return table.Flush()
}

// noLeader is why there is no leader, in the words of the first member that says so.
func noLeader(s *messages.StatusResponse) string {
	for _, m := range s.GetMembers() {
		if why := oneLine(m.GetError()); m.GetReachable() && m.GetRole() != "" && why != "" {
			return strings.ToUpper(why[:1]) + why[1:]
		}
	}
	return "No leader is known"
}

func state(m *messages.MemberStatus) string {
	switch {
	case m.GetReplication() == "installing" && m.GetReachable():
		return fmt.Sprintf("installs a snapshot: %.0f %%", 100*m.GetProgress())
	case m.GetError() != "":
		return oneLine(m.GetError())
	case !m.GetReachable():
		return "unreachable"
	case m.GetSnapshotError() != "":
		return "ok, but its log grows: " + oneLine(m.GetSnapshotError())
	}
	return "ok"
}

func orDash(text string, known bool) string {
	if text == "" || !known {
		return "-"
	}
	return text
}

func number(n uint64, known bool) string {
	return orDash(strconv.FormatUint(n, 10), known)
}
