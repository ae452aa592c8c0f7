package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-raft/troupe/messages"
)

// A server without a log is either new, or its disk was wiped and it has forgotten what it promised; nobody can tell which. So a
// group is founded unanimously: while its log is empty, a candidate needs the votes of all members. The first entry then names every
// member's data directory, so that whoever has a log knows them all, and what a member says from another one does not count. A wiped
// disk can cost availability, but never what a majority acknowledged.

// electorate says which votes make a leader (section 5.2).
func (s *state) electorate() Quorum {
	if s.log.last == 0 {
		return unanimous(s.configuration().Voters)
	}
	return s.configuration().Quorum()
}

// found appends the group's first entry.
func (s *state) found(clusterID uint64) {
	level := s.level
	voters := slices.Clone(s.configuration().Voters)
	for i := range voters {
		voters[i].StoreID = s.storeID
		if p := s.peers.of(voters[i].ID); p != nil {
			voters[i].StoreID = p.pinnedStore
			level = min(level, p.level)
		}
	}
	s.append(s.currentTerm, messages.Entry_KIND_FOUNDING, encode(&messages.Founding{
		ClusterId: max(clusterID, 1), Configuration: newConfiguration(1, voters, nil, nil).encoded(), Level: level,
	}))
}

// foundedByOthers says why a founding is none of this group's: its voters are others than this server was configured with.
func (s *state) foundedByOthers(c *Configuration) error {
	founders, configured := ids(c.Voters), ids(s.charters[0].configuration.Voters)
	switch {
	case c.Index != 1 || len(c.Outgoing)+len(c.Learners) > 0:
		return errors.New("the founding of the group is none: it has more than voters, or another index than 1")
	case !slices.Equal(founders, configured):
		names := strings.Join(founders, ", ")
		return fmt.Errorf("the group was founded by %s, not by %s: start the node with the members that it was founded with",
			names[:min(len(names), mostNames)], strings.Join(configured, ", "))
	}
	return nil
}

// mostNames is how many bytes of names, which may come from a stranger, an error has.
const mostNames = 200
