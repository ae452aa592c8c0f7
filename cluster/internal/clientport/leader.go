package clientport

import "context"

// leaderHeader has the client address of the leader, on every answer of a node that knows it. Clients go there next time.
const leaderHeader = "Troupe-Leader"

// NameLeader is for handlers: cluster.NameLeader says what it does.
func NameLeader(ctx context.Context, group string) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.answer.group = group
	}
}

// begin is called before the first part of an answer is sent: the leader is who it is now.
func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	leader := a.visit.limiter.leader
	if leader == nil {
		return
	}
	if address := leader(a.group); address != "" {
		a.Header().Set(leaderHeader, address)
	}
}

// WriteHeader begins an answer.
func (a *answer) WriteHeader(status int) {
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

// leaderOf is where clients reach the leader of a group, or of the first when there is no name; empty when that is not known.
func leaderOf(node Node) func(group string) string {
	return func(name string) string {
		if name == "" {
			groups := node.Groups()
			if len(groups) == 0 {
				return ""
			}
			name = groups[0]
		}
		if g := node.Group(name); g != nil {
			return g.Door().Status().ClientAddress
		}
		return ""
	}
}
