package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// Survivor is a group on a stopped node, as its store has it. When most of the group's voters are lost for good, an operator may let it go
// on with this node alone, as another cluster: nobody else can tell that the others never come back.
type Survivor struct {
	// LastTerm and LastIndex are those of the last entry. Of several survivors the one with the highest term, and of those the one with
	// the highest index, has most.
	LastTerm, LastIndex uint64
	// Committed: entries up to here are known to be.
	Committed uint64
	ClusterID uint64
	// Configuration is the one in force.
	Configuration *Configuration

	state state
	self  Member
}

// ErrNoLog is a group that a node knows, and has nothing of.
var ErrNoLog = errors.New("has no log on this node, so nothing can be recovered: look on the other nodes")

// FindSurvivor reads what the store has of a group. It changes nothing. The error says why the group cannot go on from here.
func FindSurvivor(store *persistence.Store, group *messages.GroupRecord) (*Survivor, error) {
	number, identity := persistence.GroupID(group.GetNumber()), store.Identity()
	recovered, err := store.Recover(number)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group.GetName(), err)
	}
	if recovered.Last == 0 {
		return nil, fmt.Errorf("group %s %w", group.GetName(), ErrNoLog)
	}
	c := Config{
		ID: identity.GetNodeId(), Group: group.GetName(), Number: number, Level: messages.Level,
		Members: decodeMembers(group.GetMembers()), ClusterID: group.GetClusterId(),
	}
	s, err := newState(&c, identity, recovered)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group.GetName(), err)
	}
	self, known := s.charters.lastOf(s.id)
	if !known {
		return nil, fmt.Errorf("group %s: no entry says where node %s is reached: recover from another node", group.GetName(), s.id)
	}
	self.StoreID = s.storeID
	return &Survivor{
		LastTerm: s.log.lastTerm(), LastIndex: s.log.last, Committed: s.commitIndex, ClusterID: s.charter().clusterID,
		Configuration: s.configuration(), state: s, self: self,
	}, nil
}

// lastOf is a member as it was named last, also one that left.
func (c charters) lastOf(id string) (Member, bool) {
	for i := len(c) - 1; i >= 0; i-- {
		if m, in := c[i].configuration.Member(id); in {
			return m, true
		}
	}
	return Member{}, false
}

// Self is the node that survived, as a member. It need not be one in the configuration in force.
func (s *Survivor) Self() Member { return s.self }

// Alone is what makes the group go on with this node alone: a configuration with another cluster id, which the old cluster's nodes are
// refused by, in a term that nobody has had. It is called once, and counts when the store has written it.
func (s *Survivor) Alone(clusterID uint64) *persistence.Batch {
	st := &s.state
	st.setTerm(st.currentTerm + 1) // recovery has seen that no entry is of a later term
	if st.charter().level < messages.LevelMembership {
		st.append(st.currentTerm, messages.Entry_KIND_LEVEL, encode(&messages.FeatureLevel{Level: messages.LevelMembership}))
	}
	alone := newConfiguration(st.log.last+1, []Member{s.self}, nil, nil).encoded()
	alone.ClusterId = max(clusterID, 1)
	st.append(st.currentTerm, messages.Entry_KIND_CONFIGURATION, encode(alone))
	st.clusterID = alone.ClusterId
	return &st.seal(time.Time{}).records
}
