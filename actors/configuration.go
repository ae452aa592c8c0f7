package actors

import (
	"cmp"
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
	c.members = slices.CompactFunc(byID(slices.Concat(c.Voters, c.Outgoing, c.Learners)), func(a, b Member) bool { return a.ID == b.ID })
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

// Quorum says who must agree. The caller must not change it.
func (c *Configuration) Quorum() Quorum { return c.quorum }

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
