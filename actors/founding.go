package actors

import (
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

// electorate is how many votes make a leader (section 5.2).
func (s *state) electorate() int {
	if s.log.last == 0 {
		return len(s.members.voters)
	}
	return s.members.quorum()
}

// found appends the group's first entry.
func (s *state) found(clusterID uint64) {
	f := &messages.Founding{ClusterId: max(clusterID, 1)}
	for i, m := range s.members.voters {
		store := s.peers.all[i].store
		if i == s.members.self {
			store = s.storeID
		}
		f.Voters = append(f.Voters, &messages.Founding_Voter{Id: m.ID, StoreId: store})
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		panic(err)
	}
	s.founding = f.ClusterId
	s.append(s.currentTerm, messages.Entry_KIND_FOUNDING, data)
}

// foundedByOthers says why a first entry is none of this group's: its members are others than this server was configured with.
func (s *state) foundedByOthers(first messages.EncodedEntry) error {
	e, err := messages.DecodeEntry(first)
	if err != nil {
		return err
	}
	var f messages.Founding
	if e.Kind != messages.Entry_KIND_FOUNDING || proto.Unmarshal(e.Data, &f) != nil {
		return errors.New("the log does not begin with the founding of a group")
	}
	var founders, configured []string
	for _, v := range f.Voters {
		founders = append(founders, v.Id)
	}
	for _, m := range s.members.voters {
		configured = append(configured, m.ID)
	}
	if !slices.Equal(founders, configured) {
		return fmt.Errorf("the group was founded by %s, not by %s: start the node with the members that it was founded with",
			strings.Join(founders, ", "), strings.Join(configured, ", "))
	}
	return nil
}

// adoptFounding learns from the group's first entry who its members are.
func (s *state) adoptFounding(first messages.EntryView) {
	var f messages.Founding
	if first.Kind != messages.Entry_KIND_FOUNDING || proto.Unmarshal(first.Data, &f) != nil {
		return // it was checked before
	}
	s.founding = f.ClusterId
	for _, v := range f.Voters {
		if p := s.peers.of(v.Id); p != nil && v.Id != s.id && p.store != v.StoreId {
			s.pin(p, v.StoreId) // also when the peer was heard from another one before: that one is not in the group
		}
	}
}
