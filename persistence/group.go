package persistence

import (
	"cmp"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
)

// groupState is what the Store knows of a group's log after all that it put into writes so far.
type groupState struct {
	known           bool // the rest was read from the database
	compacted, last uint64
	// round is the write that last changed the log.
	round uint64
	sizes marks
	// left is how many bytes there are below the cut.
	left int64
}

// Group finds the group, or founds it: it gives the name a number, once, and stores both with the founding members,
// durably. For a known group the stored members are returned and those given are ignored. The caller must not change the
// record.
func (s *Store) Group(name string, members []*messages.Member) (*messages.GroupRecord, error) {
	return s.findOrAdd(&messages.GroupRecord{Name: name, Members: members})
}

// JoinedGroup is Group for a group that others founded, which has that cluster id.
func (s *Store) JoinedGroup(name string, clusterID uint64) (*messages.GroupRecord, error) {
	return s.findOrAdd(&messages.GroupRecord{Name: name, ClusterId: clusterID})
}

// KnownGroup is the record of a group, nil when there is none. The caller must not change it.
func (s *Store) KnownGroup(name string) *messages.GroupRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[name]
}

// SetJoined notes, durably, that this node became what it asked to be when it joined a group.
func (s *Store) SetJoined(name string) error {
	return s.orFail(func() error {
		if err := s.take(); err != nil {
			return err
		}
		defer s.give()
		record := s.KnownGroup(name)
		if record == nil || record.Joined {
			return nil
		}
		record = proto.CloneOf(record)
		record.Joined = true
		return s.storeGroup(record)
	})
}

func (s *Store) findOrAdd(given *messages.GroupRecord) (*messages.GroupRecord, error) {
	if given.Name == "" {
		return nil, errors.New("a group needs a name")
	}
	record := s.KnownGroup(given.Name)
	if record != nil {
		return record, nil
	}
	err := s.orFail(func() (err error) {
		record, err = s.addRecord(given)
		return err
	})
	if err != nil {
		return nil, err
	}
	return record, nil
}

func (s *Store) addRecord(given *messages.GroupRecord) (*messages.GroupRecord, error) {
	if err := s.take(); err != nil {
		return nil, err
	}
	defer s.give()
	if record := s.KnownGroup(given.Name); record != nil {
		return record, nil
	}
	record := proto.CloneOf(given)
	record.Number = s.unusedNumber()
	if err := s.storeGroup(record); err != nil {
		return nil, err
	}
	s.states[GroupID(record.Number)] = &groupState{}
	return record, nil
}

func (s *Store) storeGroup(record *messages.GroupRecord) error {
	if err := s.set(groupKey(record.Number), record); err != nil {
		return err
	}
	if err := s.apply(true); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[record.Name] = record
	return nil
}

func (s *Store) hasGroup(group GroupID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, record := range s.records {
		if GroupID(record.Number) == group {
			return true
		}
	}
	return false
}

func (s *Store) unusedNumber() uint32 {
	var highest GroupID
	for id := range s.states {
		highest = max(highest, id)
	}
	return uint32(highest) + 1
}

func (s *Store) addGroup(record *messages.GroupRecord) {
	s.mu.Lock()
	s.records[record.Name] = record
	s.mu.Unlock()
	s.states[GroupID(record.Number)] = &groupState{}
}

// Groups returns the records of all groups, by number. The caller must not change them.
func (s *Store) Groups() ([]*messages.GroupRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return nil, ErrClosed
	}
	all := make([]*messages.GroupRecord, 0, len(s.records))
	for _, record := range s.records {
		all = append(all, record)
	}
	slices.SortFunc(all, func(a, b *messages.GroupRecord) int { return cmp.Compare(a.Number, b.Number) })
	return all, nil
}

func (s *Store) loadGroups() error {
	iter, err := s.iter(key(0, kindGroup), key(0, kindGroup+1))
	if err != nil {
		return err
	}
	defer func() { _ = iter.Close() }()
	for valid := iter.First(); valid; valid = iter.Next() {
		v, err := iter.ValueAndErr()
		if err != nil {
			return s.cannotRead(err)
		}
		record := &messages.GroupRecord{}
		if err := decodeRecord(iter.Key(), v, record); err != nil {
			return sayOf(ErrDamaged, err, "the group record %q in %s cannot be decoded; %s", iter.Key(), s.dir, wipeAdvice)
		}
		if string(groupKey(record.Number)) != string(iter.Key()) || record.Number == 0 || s.records[record.Name] != nil {
			return say(ErrDamaged, "the record of group %q in %s is in the wrong place; %s", record.Name, s.dir, wipeAdvice)
		}
		s.addGroup(record)
	}
	if err := iter.Error(); err != nil {
		return s.cannotRead(err)
	}
	return nil
}
