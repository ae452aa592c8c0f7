package offline

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Recovery lets the groups of a stopped node go on without those that were lost.
type Recovery struct {
	Dir string
	// Group is the group's name; empty: all of them.
	Group string
	// Change: otherwise nothing is changed.
	Change bool
}

// Recovered is what a node has of its groups. Its JSON is what troupe recover prints.
type Recovered struct {
	Node   string           `json:"node"`
	Groups []RecoveredGroup `json:"groups"`
}

// RecoveredGroup is what a node has of a group.
type RecoveredGroup struct {
	Name string `json:"group"`
	// LastTerm and LastIndex are those of the last entry that was there before.
	LastTerm  uint64 `json:"last_term"`
	LastIndex uint64 `json:"last_index"`
	// CommitHint is up to where the node knew that entries are committed.
	CommitHint uint64            `json:"commit_hint"`
	ClusterID  string            `json:"cluster_id"`
	Members    []RecoveredMember `json:"members"`
	// Part is what the node was itself: a voter, a learner, or absent.
	Part string `json:"part"`
	// Wiped: the members know the node by another directory.
	Wiped     bool `json:"wiped"`
	Recovered bool `json:"recovered"`
	// NewClusterID is empty unless Recovered.
	NewClusterID string `json:"new_cluster_id"`
}

// RecoveredMember is one of the group, as of the last entry.
type RecoveredMember struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Part    string `json:"part"`
}

// Run reads what there is, and changes it if it is to. The error says why it is not changed.
func (r *Recovery) Run() (*Recovered, error) {
	s, err := open(r.Dir)
	if err != nil {
		return nil, err
	}
	report, err := r.recover(s)
	return report, closed(s, err)
}

func (r *Recovery) recover(s *persistence.Store) (*Recovered, error) {
	groups, err := named(s, r.Dir, r.Group)
	if err != nil {
		return nil, err
	}
	report := &Recovered{Node: s.Identity().GetNodeId()}
	var survivors []*actors.Survivor
	for _, record := range groups {
		survivor, err := actors.FindSurvivor(s, record)
		if errors.Is(err, actors.ErrNoLog) && len(groups) > 1 {
			err = fmt.Errorf("%w; name the groups that have one by --group", err)
		}
		if err != nil {
			return nil, err
		}
		survivors = append(survivors, survivor)
		report.Groups = append(report.Groups, describe(record.GetName(), survivor))
	}
	if !r.Change {
		return report, nil
	}
	var batches []*persistence.Batch
	for i, survivor := range survivors {
		id := randomID()
		batches = append(batches, survivor.Alone(id))
		report.Groups[i].Recovered, report.Groups[i].NewClusterID = true, hex(id)
	}
	// Killed anywhere, all groups go on alone, or none does.
	if err := s.WriteTogether(batches); err != nil {
		return nil, err
	}
	return report, nil
}

// named is the group of that name, or all of them.
func named(s *persistence.Store, dir, name string) ([]*messages.GroupRecord, error) {
	groups, err := s.Groups()
	if err != nil {
		return nil, err
	}
	if name == "" && len(groups) > 0 {
		return groups, nil
	}
	group, err := find(groups, dir, name)
	return []*messages.GroupRecord{group}, err
}

func describe(name string, s *actors.Survivor) RecoveredGroup {
	self, c := s.Self(), s.Configuration
	had, in := c.Member(self.ID)
	g := RecoveredGroup{
		Name: name, LastTerm: s.LastTerm, LastIndex: s.LastIndex, CommitHint: s.Committed, ClusterID: hex(s.ClusterID),
		Part: partOf(c, self.ID), Wiped: in && had.StoreID != self.StoreID,
	}
	for _, m := range c.Members() {
		g.Members = append(g.Members, RecoveredMember{m.ID, m.Address, partOf(c, m.ID)})
	}
	return g
}

func partOf(c *actors.Configuration, id string) string {
	switch c.PartOf(id) {
	case actors.Voter:
		return "voter"
	case actors.Learner:
		return "learner"
	}
	if _, in := c.Member(id); in {
		return "outgoing voter"
	}
	return "absent"
}

func hex(id uint64) string { return fmt.Sprintf("%016x", id) }

func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return max(binary.BigEndian.Uint64(b[:]), 1)
}
