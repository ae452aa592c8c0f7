package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// Reconfigure makes the group's members others, in one step, and returns the index of the configuration that the group then has. Any member
// may be asked. Errors are those of package actors; after [actors.ErrOutcomeUnknown] ask again.
func (g *Group) Reconfigure(ctx context.Context, to actors.Change) (uint64, error) {
	r, err := g.submit(ctx, func(c actors.Caller) { g.door.Reconfigure(to, c) })
	return r.Index, err
}

// Promote gives a learner a vote. It is [actors.ErrNotCaughtUp] while the learner lacks much of the log. What is so already succeeds.
func (g *Group) Promote(ctx context.Context, id string) (index uint64, err error) {
	return g.amend(ctx, func(to *actors.Change) error {
		m, err := take(id, &to.Learners, &to.Voters)
		to.Voters = append(to.Voters, m)
		return err
	})
}

// Demote makes a learner of a voter.
func (g *Group) Demote(ctx context.Context, id string) (index uint64, err error) {
	return g.amend(ctx, func(to *actors.Change) error {
		m, err := take(id, &to.Learners, &to.Voters)
		to.Learners = append(to.Learners, m)
		return err
	})
}

// Remove takes a member out of the group. Unless anyway, too few reachable voters must not be left: that is [actors.ErrTooFewLeft]. Who is
// not in the group is removed already.
func (g *Group) Remove(ctx context.Context, id string, anyway bool) (index uint64, err error) {
	return g.amend(ctx, func(to *actors.Change) error {
		if _, err := take(id, &to.Learners, &to.Voters); err != nil {
			return nil
		}
		if anyway || len(to.Voters) == 0 {
			return nil // nobody left is refused in any case
		}
		return g.enough(ctx, to.Voters)
	})
}

// Move says that a member's peers reach it at another address.
func (g *Group) Move(ctx context.Context, id, address string) (index uint64, err error) {
	if err := checkPeerAddress("peer address", address); err != nil {
		return 0, fmt.Errorf("%w: %w", actors.ErrBadMembers, err)
	}
	return g.amend(ctx, func(to *actors.Change) error {
		m := memberIn(to, id)
		if m == nil {
			return &actors.NotMemberError{ID: id}
		}
		m.Address = address
		return nil
	})
}

// moveSelf is Move for this node, which knows where it is. A member that has the address in the configuration is there no more: it gets
// this node's old one, in case the two have changed places, and tells where it is.
func (g *Group) moveSelf(ctx context.Context) error {
	_, err := g.amend(ctx, func(to *actors.Change) error {
		m := memberIn(to, g.node.ID())
		if m == nil {
			return &actors.NotMemberError{ID: g.node.ID()}
		}
		for _, list := range [][]actors.Member{to.Voters, to.Learners} {
			for i := range list {
				if list[i].Address == g.node.PeerAddr() {
					list[i].Address = m.Address
				}
			}
		}
		m.Address = g.node.PeerAddr()
		return nil
	})
	return err
}

// memberIn finds a member of a change, or nil.
func memberIn(to *actors.Change, id string) *actors.Member {
	for _, list := range [][]actors.Member{to.Voters, to.Learners} {
		if i := indexOf(list, id); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

// enough demands that a majority of the voters answers.
func (g *Group) enough(ctx context.Context, voters []actors.Member) error {
	told := g.node.prober.ask(ctx, g)
	answer := 0
	for _, m := range voters {
		if told[m.ID] != nil || m.ID == g.node.ID() {
			answer++
		}
	}
	if answer > len(voters)/2 {
		return nil
	}
	return fmt.Errorf("%w: of the %d that stay %d answer, which is no majority; start more of them first",
		actors.ErrTooFewLeft, len(voters), answer)
}

// take removes a member from both lists.
func take(id string, lists ...*[]actors.Member) (m actors.Member, err error) {
	for _, list := range lists {
		if i := indexOf(*list, id); i >= 0 {
			m = (*list)[i]
			*list = slices.Delete(*list, i, i+1)
			return m, nil
		}
	}
	return m, &actors.NotMemberError{ID: id}
}

func indexOf(list []actors.Member, id string) int {
	return slices.IndexFunc(list, func(m actors.Member) bool { return m.ID == id })
}

// amendAgain is how long a change waits for another one to end.
const amendAgain = 20 * time.Millisecond

// withDeadline gives a context that has no deadline the time of a call.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// amend changes the members that this node knows, and again if others changed them meanwhile. It returns when the change is committed, and
// no joint phase is left; or when ctx is done, with an unknown outcome if it was asked for.
func (g *Group) amend(ctx context.Context, change func(to *actors.Change) error) (uint64, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	asked := error(nil)
	for {
		now := g.Status().Configuration
		to := actors.Change{Base: now.Index, Voters: slices.Clone(now.Voters), Learners: slices.Clone(now.Learners)}
		if err := change(&to); err != nil {
			return 0, err
		}
		index, err := g.Reconfigure(ctx, to)
		if err == nil || !passes(err) {
			return index, err
		}
		if errors.Is(err, actors.ErrOutcomeUnknown) {
			asked = err
		}
		select {
		case <-ctx.Done():
			if asked != nil {
				return 0, asked
			}
			return 0, err
		case <-time.After(amendAgain):
		}
	}
}

// passes says whether a change may succeed a little later.
func passes(err error) bool {
	for _, passing := range []error{
		actors.ErrNotLeader, actors.ErrOutcomeUnknown, actors.ErrOverloaded, actors.ErrChangeUnderWay, actors.ErrChangedMeanwhile,
		actors.ErrNothingCommitted,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// HandOver makes another voter the leader, the best one if to is empty, and returns who leads then (thesis 3.10). Only the leader can: it
// is [actors.ErrNotLeader] elsewhere. A member that cannot lead is [actors.ErrCannotLead]; one that does not take over within an election
// timeout [actors.ErrNotTakenOver], and then this node goes on. Without a deadline in ctx the call waits about five seconds.
func (g *Group) HandOver(ctx context.Context, to string) (leader string, err error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	term := g.Status().Term
	if _, err := g.submit(ctx, func(c actors.Caller) { g.door.HandOver(to, c) }); err != nil {
		return "", err
	}
	for {
		changed := g.door.Changed()
		s := g.Status()
		old := s.Role == actors.Leader && s.Term == term && to != g.node.ID() // the answer overtook the status that goes with it
		switch {
		case old || s.LeaderID == "" && g.failed(s) == nil:
		case to == "" || s.LeaderID == to:
			return s.LeaderID, nil
		default:
			return s.LeaderID, fmt.Errorf("%w: %s leads instead", actors.ErrNotTakenOver, s.LeaderID)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", &unknownError{ctx.Err()}
		}
	}
}
