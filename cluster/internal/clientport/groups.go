package clientport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
)

// groupName is the group that was asked for, or the first.
func groupName(node Node, asked string) (string, error) {
	groups := node.Groups()
	if len(groups) == 0 {
		return "", connect.NewError(connect.CodeUnavailable, errors.New("no group is started on this node yet: try again"))
	}
	name := cmp.Or(asked, groups[0])
	if !slices.Contains(groups, name) {
		return "", &noGroup{name, groups}
	}
	return name, nil
}

// noGroup is why this node does nothing of what was asked.
type noGroup struct {
	name   string
	groups []string // that it has
}

func (n *noGroup) Error() string {
	return fmt.Sprintf("there is no group %.64q on this node: %s", n.name, listed(n.groups))
}

// mostListed is how many groups an error names.
const mostListed = 8

func listed(groups []string) string {
	text := "its groups are " + strings.Join(groups[:min(len(groups), mostListed)], ", ")
	if more := len(groups) - mostListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// findGroup is groupName for handlers: the answer names that group's leader.
func findGroup(ctx context.Context, node Node, asked string) (Group, error) {
	name, err := groupName(node, asked)
	if err != nil {
		return nil, RPCError(err)
	}
	NameLeader(ctx, name)
	return node.Group(name), nil
}
