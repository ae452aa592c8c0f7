package actors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/troupe-raft/troupe/messages"
)

// Configuration says who is in a group (section 6). It is immutable.
type Configuration struct {
	// Index is that of the log entry that holds the configuration; 0: the group is to be founded with it.
	Index uint64
	// Voters decide. Outgoing are the voters of the configuration before, while a majority of those is needed as well. Learners have
	// the log and no vote. Each list is in the order of ids.
	Voters, Outgoing, Learners []Member

	members []Member
	quorum  Quorum
}

func newConfiguration(index uint64, voters, outgoing, learners []Member) *Configuration {
	c := &Configuration{Index: index, Voters: byID(voters), Outgoing: byID(outgoing), Learners: byID(learners)}
	c.members = slices.CompactFunc(byID(slices.Concat(c.Voters, c.Learners, c.Outgoing)), func(a, b Member) bool { return a.ID == b.ID })
	for _, set := range [][]Member{c.Voters, c.Outgoing} {
		if len(set) > 0 {
			c.quorum = append(c.quorum, ids(set))
		}
	}
	return c
}

// byID is a copy in the order of ids; of equal ones the first comes first.
func byID(members []Member) []Member {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return sorted
}

func ids(members []Member) []string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.ID
	}
	return list
}

// Members are all that are in the group, each once, in the order of ids.
func (c *Configuration) Members() []Member { return slices.Clone(c.members) }

// Member finds a member by its id.
func (c *Configuration) Member(id string) (Member, bool) {
	for _, m := range c.members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// mostMembers bounds a configuration.
const mostMembers = 64

// check says what is wrong with the configuration of an entry.
func (c *Configuration) check(index uint64) error {
	switch {
	case c.Index != index:
		return fmt.Errorf("it is said to be that of entry %d", c.Index)
	case len(c.Voters) == 0:
		return errors.New("it has no voters: name at least one")
	case len(c.Voters)+len(c.Learners) > mostMembers || len(c.Outgoing) > mostMembers:
		return fmt.Errorf("it has more than %d members", mostMembers)
	}
	if err := distinct(slices.Concat(c.Voters, c.Learners)); err != nil {
		return err
	}
	return distinct(c.Outgoing)
}

// distinct demands an id, an address and a data directory of each member, and no two alike.
func distinct(members []Member) error {
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, m := range members {
		switch {
		case m.ID == "" || m.Address == "" || m.StoreID == 0:
			return fmt.Errorf("the member %q has no id, no address, or no data directory", m.ID)
		case ids[m.ID]:
			return fmt.Errorf("it has the member %s twice", m.ID)
		case addresses[m.Address]:
			return fmt.Errorf("it has the address %s twice", m.Address)
		}
		ids[m.ID], addresses[m.Address] = true, true
	}
	return nil
}

// joint says whether two sets of voters must agree.
func (c *Configuration) joint() bool { return len(c.Outgoing) > 0 }

// equals says whether another configuration has the same members, wherever it stands.
func (c *Configuration) equals(other *Configuration) bool {
	return slices.Equal(c.Voters, other.Voters) && slices.Equal(c.Learners, other.Learners) && slices.Equal(c.Outgoing, other.Outgoing)
}

// Quorum says who must agree. The caller must not change it.
func (c *Configuration) Quorum() Quorum { return c.quorum }

// Part is what a member is in a configuration.
type Part uint8

const (
	Absent Part = iota
	Learner
	// Voter is one of the new voters; who is only among the outgoing ones is absent.
	Voter
)

// PartOf says what a member is, or is to be when a joint phase has ended.
func (c *Configuration) PartOf(id string) Part {
	is := func(m Member) bool { return m.ID == id }
	switch {
	case slices.ContainsFunc(c.Voters, is):
		return Voter
	case slices.ContainsFunc(c.Learners, is):
		return Learner
	}
	return Absent
}

// votes says whether this server does: only with the data directory that the configuration names.
func (s *state) votes(c *Configuration) bool { return c.votes(s.id) && c.has(s.id, s.storeID) }

// votes says whether the member with the id does.
func (c *Configuration) votes(id string) bool {
	return slices.ContainsFunc(c.quorum, func(set []string) bool { return slices.Contains(set, id) })
}

func (c *Configuration) encoded() *messages.Configuration {
	return &messages.Configuration{
		Index: c.Index, Voters: encodeMembers(c.Voters), Outgoing: encodeMembers(c.Outgoing), Learners: encodeMembers(c.Learners),
	}
}

func decodeConfiguration(m *messages.Configuration) *Configuration {
	return newConfiguration(m.GetIndex(), decodeMembers(m.GetVoters()), decodeMembers(m.GetOutgoing()), decodeMembers(m.GetLearners()))
}

func encodeMembers(members []Member) []*messages.Member {
	var list []*messages.Member
	for _, m := range members {
		list = append(list, &messages.Member{Id: m.ID, Address: m.Address, StoreId: m.StoreID})
	}
	return list
}

func decodeMembers(list []*messages.Member) []Member {
	var members []Member
	for _, m := range list {
		members = append(members, Member{ID: m.GetId(), Address: m.GetAddress(), StoreID: m.GetStoreId()})
	}
	return members
}
