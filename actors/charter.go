package actors

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// charter is what a log says of its own group: who is in it, its cluster id, its feature level.
type charter struct {
	index         uint64 // of the entry that says so; 0: the group is not founded
	clusterID     uint64
	level         uint32
	configuration *Configuration
}

// charters of a log are in its order. The last is in force, whether it is committed or not (section 6).
type charters []charter

func (c charters) inForce() charter { return c[len(c)-1] }

// at is the one that was in force at an index, which is not cut.
func (c charters) at(index uint64) charter {
	n := len(c) - 1
	for n > 0 && c[n].index > index {
		n--
	}
	return c[n]
}

// cut forgets what was in force only before an index.
func (c *charters) cut(index uint64) {
	for len(*c) > 1 && (*c)[1].index <= index {
		*c = (*c)[1:]
	}
}

// truncate forgets what stood in entries from an index on.
func (c *charters) truncate(from uint64) {
	for len(*c) > 1 && c.inForce().index >= from {
		*c = (*c)[:len(*c)-1]
	}
}

// TooOldError is a server whose group uses what this version of troupe does not know.
type TooOldError struct {
	// What it is, as the beginning of a sentence.
	What string
	// Level is the newest feature level that this server knows.
	Level uint32
}

func (e TooOldError) Error() string {
	return fmt.Sprintf("%s, and this node's troupe knows feature levels up to %d: start a newer troupe on this node", e.What, e.Level)
}

var errFounding = errors.New("a log begins with the founding of its group, and has no other")

// amended is the charter from an entry on that amends it. known is the newest feature level that this server knows.
func (c charter) amended(index uint64, e messages.EntryView, known uint32) (charter, error) {
	if (index == 1) != (e.Kind == messages.Entry_KIND_FOUNDING) {
		return c, errFounding
	}
	switch e.Kind {
	case messages.Entry_KIND_FOUNDING:
		var f messages.Founding
		if err := proto.Unmarshal(e.Data, &f); err != nil {
			return c, fmt.Errorf("the founding of the group cannot be decoded: %w", err)
		}
		c = charter{index, f.ClusterId, f.Level, decodeConfiguration(f.Configuration)}
	case messages.Entry_KIND_LEVEL:
		var l messages.FeatureLevel
		if err := proto.Unmarshal(e.Data, &l); err != nil {
			return c, fmt.Errorf("the feature level in entry %d cannot be decoded: %w", index, err)
		}
		c.index, c.level = index, l.Level
	case messages.Entry_KIND_CONFIGURATION:
		var m messages.Configuration
		if err := proto.Unmarshal(e.Data, &m); err != nil {
			return c, fmt.Errorf("the configuration in entry %d cannot be decoded: %w", index, err)
		}
		c.index, c.configuration = index, decodeConfiguration(&m)
		if m.ClusterId != 0 { // the group lost its quorum, and goes on as another cluster: see Survivor
			c.clusterID = m.ClusterId
		}
		if err := c.configuration.check(index); err != nil {
			return c, fmt.Errorf("the configuration in entry %d is none: %w", index, err)
		}
	default:
		return c, TooOldError{fmt.Sprintf("entry %d is of the unknown kind %d", index, e.Kind), known}
	}
	if c.level > known {
		return c, TooOldError{fmt.Sprintf("the group has feature level %d since entry %d", c.level, index), known}
	}
	return c, nil
}

func (c charter) encoded() *messages.Charter {
	return &messages.Charter{Index: c.index, ClusterId: c.clusterID, Level: c.level, Configuration: c.configuration.encoded()}
}

// adopt makes the charter of a snapshot the one in force: nothing is known of what was before.
func (s *state) adopt(c *messages.Charter) error {
	if c.Level > s.level {
		return TooOldError{fmt.Sprintf("the group's snapshot is of feature level %d", c.Level), s.level}
	}
	s.charters = charters{{c.Index, c.ClusterId, c.Level, decodeConfiguration(c.Configuration)}}
	return nil
}

func (s *state) charter() charter { return s.charters.inForce() }

// configuration is the one in force.
func (s *state) configuration() *Configuration { return s.charter().configuration }

// amend lets an entry have its effect on the charter. The data directories that it names are still to be pinned.
func (s *state) amend(index uint64, e messages.EntryView) error {
	now, err := s.charter().amended(index, e, s.level)
	if err != nil {
		return err
	}
	s.charters = append(s.charters, now)
	s.peers.follow(now.configuration, s.id)
	return nil
}

// mustAmend does so with the entry that was just appended: this server made it, or checkEntries has seen it.
func (s *state) mustAmend(e messages.EntryView) {
	if err := s.amend(s.log.last, e); err != nil {
		panic(err)
	}
	s.pinNamed(s.configuration())
}

// meet takes up the members of a configuration, and the data directories that it names.
func (s *state) meet(c *Configuration) {
	s.peers.follow(c, s.id)
	s.pinNamed(c)
}

// pinNamed pins the data directories that a configuration names. Its members are the peers.
func (s *state) pinNamed(c *Configuration) {
	for _, p := range s.peers.all {
		if m, _ := c.Member(p.ID); m.StoreID != 0 && p.pinnedStore != m.StoreID {
			s.pin(p, m.StoreID) // also when the peer was heard from another one before: that one is not in the group
		}
	}
}

// encode makes the data of an entry.
func encode(m proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}
