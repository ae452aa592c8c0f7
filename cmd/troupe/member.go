package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

func memberListCommand() *command {
	return &command{
		name:    "member list",
		summary: "Show who is in a group.",
		text: `
Asks one node, which asks the others how they are. With --json:
  {"index","joint","members":[{"id","address","client_address","voter","store_id","reachable","error"}]}
where index is that of the configuration in force, joint tells that its voters are being changed, store_id names the member's data
directory, and error says why a member cannot serve. client_address is empty when a member does not answer.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var m member
			m.register(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, t *terminal, _ []string) error {
				return m.remote.use(ctx, t, func(ctx context.Context, c *client.Client) error {
					members, err := c.Members(ctx, m.group)
					switch {
					case err != nil:
						return err
					case *asJSON:
						return json.NewEncoder(t.out).Encode(membersJSON(members))
					}
					return printMembers(t.out, members)
				})
			}
		},
	}
}

func memberRemoveCommand() *command {
	return memberChange("remove", "Take a member out of a group.", `
Returns when that is committed. The member's process ends by itself, and refuses to start again; to add the node anew,
empty its data directory and start it with --join. Who was removed already is no error. A node that comes in place of one that
is lost, under its name, is taken in after that one was removed. If too few of the voters that stay answer, the group could not
go on: then --yes is needed.
`, messages.ChangeMemberRequest_CHANGE_REMOVE)
}

func memberPromoteCommand() *command {
	return memberChange("promote", "Give a learner a vote.", `
Returns when that is committed. A learner that lacks much of the log is refused.
`, messages.ChangeMemberRequest_CHANGE_PROMOTE)
}

func memberDemoteCommand() *command {
	return memberChange("demote", "Make a learner of a voter.", `
Returns when that is committed. A learner has the log, answers reads, and has no vote.
`, messages.ChangeMemberRequest_CHANGE_DEMOTE)
}

func memberUpdateCommand() *command {
	c := memberChange("update", "Change the address at which its peers reach a member.", `
Returns when that is committed. A node that is started with another --peer-addr does this by itself.
`, messages.ChangeMemberRequest_CHANGE_UPDATE)
	c.args = "ID PEER_ADDR"
	return c
}

// memberChange is a command that changes what one member is.
func memberChange(name, summary, text string, change messages.ChangeMemberRequest_Change) *command {
	return &command{
		name: "member " + name, args: "ID", summary: summary, text: text,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var m member
			m.register(flags)
			yes := new(bool)
			if change == messages.ChangeMemberRequest_CHANGE_REMOVE {
				yes = flags.Bool("yes", false, "remove it although too few voters that answer would be left")
			}
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := checkID(args[0]); err != nil {
					return err
				}
				r := &messages.ChangeMemberRequest{Group: m.group, Id: args[0], Change: change, Anyway: *yes}
				if len(args) > 1 {
					r.Address = args[1]
				}
				return m.remote.write(ctx, t, func(ctx context.Context, c *client.Client) (string, error) {
					index, err := c.ChangeMember(ctx, r)
					return fmt.Sprintf("done: the members are those of entry %d", index), refusal(err)
				})
			}
		},
	}
}

func transferLeaderCommand() *command {
	return &command{
		name:    "transfer-leader",
		args:    "[ID]",
		summary: "Let another voter lead.",
		text: `
The leader hands over to the voter ID, or to the one that lacks the least of the log, and prints who leads then. Writes
are refused for a moment, and clients repeat them. A member that has no vote, or is not well, is refused.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var m member
			m.register(flags)
			return func(ctx context.Context, t *terminal, args []string) error {
				to := strings.Join(args, "")
				if err := checkID(to); err != nil && len(args) > 0 {
					return err
				}
				return m.remote.write(ctx, t, func(ctx context.Context, c *client.Client) (string, error) {
					leader, err := c.TransferLeader(ctx, m.group, to)
					return leader + " leads", refusal(err)
				})
			}
		},
	}
}

// member is the flags of the commands about members.
type member struct {
	remote remote
	group  string
}

func (m *member) register(flags *flag.FlagSet) {
	m.remote.register(flags)
	flags.StringVar(&m.group, "group", "", "`name` of the group (default the first that the nodes started)")
}

// checkID refuses what no node is called, such as a variable of a script that is empty.
func checkID(id string) error {
	if id == "" || !utf8.ValidString(id) {
		return usagef("the ID %q names no node: give one that \"troupe member list\" shows", id)
	}
	return nil
}

// refusal gives an answer that is no for good the words of these commands.
func refusal(err error) error {
	if errors.Is(err, client.ErrInvalid) {
		return fmt.Errorf("refused: %w", err)
	}
	return err
}

type groupJSON struct {
	Index   uint64            `json:"index"`
	Joint   bool              `json:"joint"`
	Members []groupMemberJSON `json:"members"`
}

type groupMemberJSON struct {
	ID            string `json:"id"`
	Address       string `json:"address"`
	ClientAddress string `json:"client_address"`
	Voter         bool   `json:"voter"`
	StoreID       string `json:"store_id"` // a number may be too large for JSON
	Reachable     bool   `json:"reachable"`
	Error         string `json:"error"`
}

func membersJSON(r *messages.MembersResponse) groupJSON {
	g := groupJSON{Index: r.GetIndex(), Joint: r.GetJoint(), Members: []groupMemberJSON{}}
	for _, m := range r.GetMembers() {
		g.Members = append(g.Members, groupMemberJSON{
			ID: m.GetId(), Address: m.GetAddress(), ClientAddress: m.GetClientAddress(), Voter: m.GetVoter(),
			StoreID: fmt.Sprintf("%016x", m.GetStoreId()), Reachable: m.GetReachable(), Error: m.GetError(),
		})
	}
	return g
}

func printMembers(w io.Writer, r *messages.MembersResponse) error {
	if r.GetJoint() {
		fmt.Fprint(w, "The voters are being changed.\n\n")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tVOTES\tPEERS\tCLIENTS\tSTATE")
	for _, m := range r.GetMembers() {
		votes, state := "no", "ok"
		if m.GetVoter() {
			votes = "yes"
		}
		switch {
		case m.GetError() != "":
			state = oneLine(m.GetError())
		case !m.GetReachable():
			state = "unreachable"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.GetId(), votes, m.GetAddress(), orDash(m.GetClientAddress(), true), state)
	}
	return table.Flush()
}
