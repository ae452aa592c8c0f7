package actors

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

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

// origin is the SHA-256 of the snapshot that the group is to begin with: an operator put it there. Once there is a log, that says it.
func (s *state) origin() []byte {
	if s.log.last > 0 {
		return nil
	}
	return s.snapshot.GetDigest()
}

// disagrees says whether a candidate would have the group begin with another snapshot than this server's.
func (s *state) disagrees(m *messages.RequestVote) bool {
	mine := s.origin()
	return mine != nil && m.LastLogIndex == 0 && len(m.Origin) > 0 && !bytes.Equal(m.Origin, mine)
}

// cannotFound names a founder that does not know snapshots, when the group is to begin with one; empty: there is none.
func (s *state) cannotFound() string {
	if s.origin() == nil {
		return ""
	}
	for _, p := range s.peers.all {
		if p.level < messages.LevelSnapshots {
			return p.ID
		}
	}
	return ""
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
		Origin: s.origin(),
	}))
}

// foundedByOthers says why a founding is none of this group's: its voters are others than this server was configured with.
func (s *state) foundedByOthers(c *Configuration) error {
	founders, configured := ids(c.Voters), ids(s.founders.Voters)
	switch {
	case c.Index != 1 || len(c.Outgoing)+len(c.Learners) > 0:
		return errors.New("the founding of the group is none: it has more than voters, or another index than 1")
	case len(configured) > 0 && !slices.Equal(founders, configured): // who joined was told by no operator who they are
		names := strings.Join(founders, ", ")
		return fmt.Errorf("the group was founded by %s, not by %s: start the node with the members that it was founded with",
			names[:min(len(names), mostNames)], strings.Join(configured, ", "))
	}
	return nil
}

// mostNames is how many bytes of names, which may come from a stranger, an error has.
const mostNames = 200

var errNeedsOrigin = errors.New("the group begins with a snapshot that this node does not have")

// beginsWith compares the snapshot that a founding names with this server's.
func (s *state) beginsWith(founding messages.EntryView) error {
	if s.log.last > 0 {
		return nil
	}
	var f messages.Founding
	if err := proto.Unmarshal(founding.Data, &f); err != nil {
		return err
	}
	switch mine := s.snapshot.GetDigest(); {
	case bytes.Equal(f.Origin, mine):
		return nil
	case mine == nil:
		return errNeedsOrigin
	case f.Origin == nil:
		return errors.New("the group was founded without a backup, and this node was restored from one: " +
			"start it with an empty directory to join the group as it is")
	default:
		return otherBackup(f.Origin, mine)
	}
}

func otherBackup(theirs, mine []byte) error {
	return fmt.Errorf("the group begins with another backup (SHA-256 %x) than this node was restored from (%x): "+
		"restore this node from the same file, or start it with an empty directory", head(theirs), head(mine))
}

func head(digest []byte) []byte { return digest[:min(len(digest), 8)] }
