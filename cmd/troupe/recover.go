package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/offline"
)

func recoverCommand() *command {
	return &command{
		name:    "recover",
		summary: "Let a stopped node go on alone, after most voters were lost for good.",
		text: `
A group without a majority of its voters waits for them. When they never come back, one survivor can go on alone, as a new cluster:
  1. Stop all survivors.
  2. Run recover --dry-run on every survivor. It changes nothing.
  3. Take the one with the highest last term; of those with the same, the one with the highest last index.
  4. Run recover --yes there, and nowhere else.
  5. Start that node, as before: it elects itself, and serves what it has.
  6. Give all other nodes empty directories, and let them join as new nodes.
What only the others had is lost, though it was acknowledged. Entries above the commit hint may have been uncommitted, and come to
life: writes whose callers were told that the outcome is unknown. Each group gets a new cluster id. From then on nodes of the old
one are refused, for good: two survivors that are both recovered never become one cluster again.

With --yes all groups of the directory are changed at once, or none is, also when it is killed; with --group, that one. Without
--yes nothing changes, and the exit code is 1, or 0 with --dry-run. With --json:
  {"node","groups":[{"group","last_term","last_index","commit_hint","cluster_id","members":[{"id","address","part"}],
  "part","wiped","recovered","new_cluster_id"}]}
Opening the directory is what a node does at its start: it may write the database's own log into tables, and remove files that
nothing points to.
`,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal, []string) error {
			var r offline.Recovery
			flags.StringVar(&r.Dir, "data-dir", "", "the node's `directory`")
			flags.StringVar(&r.Group, "group", "", "`name` of a group (default all groups)")
			flags.BoolVar(&r.Change, "yes", false, "make the change")
			dryRun := flags.Bool("dry-run", false, "only tell what the node has")
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, t *terminal, _ []string) error {
				switch {
				case r.Dir == "":
					return usagef("--data-dir is missing")
				case r.Change && *dryRun:
					return usagef("--dry-run changes nothing, and --yes does: give one of them")
				}
				return runRecovery(t.out, &r, *dryRun, *asJSON)
			}
		},
	}
}

var errNotRecovered = errors.New("nothing was changed: compare the survivors by --dry-run, and give --yes on the one that has most")

func runRecovery(w io.Writer, r *offline.Recovery, dryRun, asJSON bool) error {
	report, err := r.Run()
	if report == nil {
		return err
	}
	printed := error(nil)
	if asJSON {
		printed = json.NewEncoder(w).Encode(report)
	} else {
		printed = printRecovered(w, report)
	}
	switch {
	case err != nil:
		return err
	case r.Change && printed != nil:
		return &muteError{"the node goes on alone", printed}
	case printed == nil && !r.Change && !dryRun:
		return errNotRecovered
	}
	return printed
}

func printRecovered(w io.Writer, r *offline.Recovered) error {
	recovered := false
	for _, g := range r.Groups {
		if err := printGroup(w, r.Node, &g); err != nil {
			return err
		}
		recovered = recovered || g.Recovered
	}
	if !recovered {
		return nil
	}
	const next = "Start node %s as before. Then give the other nodes empty directories, and let them join as new nodes.\n"
	_, err := fmt.Fprintf(w, next, r.Node)
	return err
}

func printGroup(w io.Writer, node string, g *offline.RecoveredGroup) error {
	fmt.Fprintf(w, "group %s: last term %d, last index %d, commit hint %d, cluster id %s\n",
		g.Name, g.LastTerm, g.LastIndex, g.CommitHint, g.ClusterID)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range g.Members {
		part := m.Part
		if m.ID == node {
			part += ", this node"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", m.ID, m.Address, part)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range risks(node, g) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if g.Recovered {
		fmt.Fprintf(w, "  Recovered: it goes on with node %s alone, as cluster %s.\n", node, g.NewClusterID)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// risks are what may be lost, or come to life.
func risks(node string, g *offline.RecoveredGroup) []string {
	var lines []string
	switch g.Part {
	case "voter", "outgoing voter":
	case "learner":
		lines = append(lines, fmt.Sprintf("Node %s was only a learner: nothing that was acknowledged had to be here.", node))
	default:
		lines = append(lines, fmt.Sprintf("Node %s was not in the group any more: it has nothing that came after it left.", node))
	}
	if g.Wiped {
		lines = append(lines, fmt.Sprintf("The members know node %s by another directory: this one did not count.", node))
	}
	if g.LastIndex > g.CommitHint {
		lines = append(lines, fmt.Sprintf("Entries %d to %d may have been uncommitted, and come to life.", g.CommitHint+1, g.LastIndex))
	}
	return append(lines, fmt.Sprintf("Entries that others had behind term %d, index %d are lost, though they were acknowledged.",
		g.LastTerm, g.LastIndex))
}
