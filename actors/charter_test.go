package actors

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

func levelEntry(term uint64, level uint32) messages.EncodedEntry {
	return messages.EncodeEntry(term, messages.Entry_KIND_LEVEL, encode(&messages.FeatureLevel{Level: level}))
}

// What a log says of its group is in force when it is in the log, and no longer when it is truncated (section 6).
func TestTheCharterFollowsTheLog(t *testing.T) {
	s := stateWith([]uint64{1, 1}, 3)
	s.level = 3
	expect := func(index uint64, level uint32, clusterID uint64, configuration uint64) {
		t.Helper()
		c := s.charter()
		if c.index != index || c.level != level || c.clusterID != clusterID || c.configuration.Index != configuration {
			t.Errorf("%+v, and its configuration is of entry %d", c, c.configuration.Index)
		}
	}
	s.truncate(1)
	expect(0, 0, 0, 0)
	founders := testMembers(3)
	founders[2].Address = "elsewhere:1"
	s.append(3, messages.Entry_KIND_FOUNDING, encode(&messages.Founding{
		ClusterId: 77, Configuration: newConfiguration(1, founders, nil, nil).encoded(), Level: 1,
	}))
	expect(1, 1, 77, 1)
	if s.peers.at("elsewhere:1") == nil || s.clusterID != 0 {
		t.Errorf("n3 is at %s; an uncommitted founding names cluster %d", s.peers.of("n3").Address, s.clusterID)
	}
	for _, level := range []uint32{2, 3} {
		s.append(3, messages.Entry_KIND_NOOP, nil)
		s.append(3, messages.Entry_KIND_LEVEL, encode(&messages.FeatureLevel{Level: level}))
	}
	expect(5, 3, 77, 1)
	s.truncate(5)
	expect(3, 2, 77, 1)
	s.truncate(4)
	expect(3, 2, 77, 1)
	s.truncate(2)
	expect(1, 1, 77, 1)
	s.truncate(1)
	expect(0, 0, 0, 0)
	if len(s.peers.all) != 2 || s.peers.of("n1") == nil || s.peers.of("n2") != nil || s.peers.at("elsewhere:1") != nil {
		t.Errorf("the peers are %v", s.peers.all)
	}
	s.append(3, messages.Entry_KIND_FOUNDING, foundingOf77(t, 3))
	if s.commit(1); s.clusterID != 77 {
		t.Errorf("a committed founding names cluster %d", s.clusterID)
	}
}

// A founding has the voters that the server was configured with, and nobody else.
func TestAFoundingOfOthersIsRefused(t *testing.T) {
	of := func(names string) (members []Member) {
		for _, id := range strings.Fields(names) {
			members = append(members, Member{ID: id, Address: id + ":1", StoreID: 1})
		}
		return members
	}
	for name, c := range map[string]*Configuration{
		"one voter often":    newConfiguration(1, of("n1 n1 n1 n2 n3"), nil, nil),
		"learners":           newConfiguration(1, of("n1"), nil, of("n2 n3")),
		"more learners":      newConfiguration(1, of("n1 n2 n3"), nil, of("n4")),
		"nobody":             newConfiguration(1, nil, nil, of("n1 n2 n3")),
		"a joint phase":      newConfiguration(1, of("n1"), of("n2 n3"), nil),
		"another index":      newConfiguration(7, of("n1 n2 n3"), nil, nil),
		"others":             newConfiguration(1, of("n1 n2 n4"), nil, nil),
		"a name without end": newConfiguration(1, of("n1 n2 "+strings.Repeat("n", 1<<20)), nil, nil),
	} {
		s := stateWith(nil, 3)
		founding := encode(&messages.Founding{ClusterId: 1, Configuration: c.encoded(), Level: 1})
		entry := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, founding)
		m := &messages.AppendEntries{Header: &messages.Header{From: "n1", Term: 3, Level: 1}, Entries: [][]byte{entry}}
		if _, _, err := s.appendEntries(m); err == nil || s.log.last != 0 || len(err.Error()) > 1000 {
			t.Errorf("%s: the log ends at %d", name, s.log.last)
		}
	}
}

// A pin is kept when its member leaves, and is there when it comes back.
func TestAPinOutlivesAMembership(t *testing.T) {
	s := stateWith([]uint64{1}, 3)
	s.outbox = outbox{durable: 1}
	s.pin(s.peers.of("n3"), 33)
	s.outbox.synced(s.seal(time.Time{}))
	s.meet(newConfiguration(2, testMembers(2), nil, nil))
	s.meet(newConfiguration(3, testMembers(3), nil, nil))
	if p := s.peers.of("n3"); p.pinnedStore != 33 || !p.pinned {
		t.Errorf("it is known by %d, pinned %v", p.pinnedStore, p.pinned)
	}
}

// A member that was replaced is pinned by its new directory. A start goes through the log, where it has the old one first.
func TestAPinOutlivesAStart(t *testing.T) {
	members := testMembers(2)
	founding := newConfiguration(1, []Member{{ID: "n1", Address: "n1:1", StoreID: 11}, {ID: "n2", Address: "n2:1", StoreID: 2}}, nil, nil)
	without := newConfiguration(2, founding.Voters[1:], nil, nil)
	again := newConfiguration(3, without.Voters, nil, []Member{{ID: "n1", Address: "n1:1", StoreID: 12}})
	r := persistence.Recovered{
		HardState: persistence.HardState{Term: 1, Commit: 3}, Last: 3, PeerStores: map[string]uint64{"n1": 12, "n2": 2},
		Snapshot: &messages.Snapshot{LastIncludedIndex: 1, LastIncludedTerm: 1, Charter: &messages.Charter{
			Index: 1, ClusterId: 77, Level: messages.LevelMembership, Configuration: founding.encoded(),
		}},
		Amendments: []persistence.IndexedEntry{
			{Index: 2, Entry: messages.EncodeEntry(1, messages.Entry_KIND_CONFIGURATION, encode(without.encoded()))},
			{Index: 3, Entry: messages.EncodeEntry(1, messages.Entry_KIND_CONFIGURATION, encode(again.encoded()))},
		},
	}
	s, err := newState(&Config{ID: "n2", Group: "g", Members: members, Level: messages.Level}, &messages.Identity{StoreId: 2}, r)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.peers.of("n1"); p.pinnedStore != 12 || !p.pinned || s.outbox.open != nil {
		t.Errorf("n1 is known by %d, pinned %v, and %+v is to be written", p.pinnedStore, p.pinned, s.outbox.open)
	}
}

func TestTheCharterIsRecovered(t *testing.T) {
	founding := entryAt(1, 1)
	others := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, foundingOf77(t, 2))
	unknown := messages.EncodeEntry(1, 9, nil)
	bits := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, []byte{0xff})
	type amendments = []persistence.IndexedEntry
	for name, c := range map[string]struct {
		amendments amendments
		level      uint32
		err        string
	}{
		"a new group":   {nil, 0, ""},
		"founded":       {amendments{{Index: 1, Entry: founding}}, 1, ""},
		"raised":        {amendments{{Index: 1, Entry: founding}, {Index: 7, Entry: levelEntry(1, 2)}}, 2, ""},
		"by others":     {amendments{{Index: 1, Entry: others}}, 0, "founded by n1, n2, not by n1, n2, n3"},
		"no founding":   {amendments{{Index: 1, Entry: levelEntry(1, 2)}}, 0, "begins with the founding"},
		"founded again": {amendments{{Index: 1, Entry: founding}, {Index: 2, Entry: founding}}, 0, "has no other"},
		"a later level": {amendments{{Index: 1, Entry: founding}, {Index: 2, Entry: levelEntry(1, 3)}}, 0,
			"the group has feature level 3 since entry 2, and this node's troupe knows feature levels up to 2: start a newer troupe"},
		"a later kind": {amendments{{Index: 1, Entry: founding}, {Index: 2, Entry: unknown}}, 0,
			"entry 2 is of the unknown kind 9, and this node's troupe knows feature levels up to 2"},
		"a founding in bits": {amendments{{Index: 1, Entry: bits}}, 0, "cannot be decoded"},
	} {
		s, err := newState(&Config{ID: "n2", Group: "g", Members: testMembers(3), Level: 2}, &messages.Identity{StoreId: 2},
			persistence.Recovered{
				HardState: persistence.HardState{Term: 1, Commit: 1}, Last: uint64(9 * min(len(c.amendments), 1)), Amendments: c.amendments,
			})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || s.charter().level != c.level || (s.clusterID != 0) != (c.level > 0) {
			t.Errorf("%s: %v, %+v", name, err, s.charter())
		}
	}
}

func TestALogWithoutAFoundingIsRefused(t *testing.T) {
	c := &Config{ID: "n2", Group: "g", Members: testMembers(3), Level: 2}
	_, err := newState(c, &messages.Identity{StoreId: 2}, persistence.Recovered{Last: 9})
	if !errors.Is(err, errFounding) {
		t.Error(err)
	}
}

// Whoever stays is known as before; whoever is new is known from the disk.
func TestPeersFollowTheConfiguration(t *testing.T) {
	s, err := newState(&Config{ID: "n2", Group: "g", Members: testMembers(3), Level: 1}, &messages.Identity{StoreId: 2},
		persistence.Recovered{PeerStores: map[string]uint64{"n1": 11, "n4": 14}})
	if err != nil {
		t.Fatal(err)
	}
	n1 := s.peers.of("n1")
	n1.foreign = 7
	moved := Member{ID: "n1", Address: "elsewhere:1"}
	s.meet(newConfiguration(9,
		[]Member{{ID: "n4", Address: "n4:1"}, {ID: "n2", Address: "n2:1"}, moved},
		[]Member{{ID: "n1", Address: "n1:1"}},
		[]Member{{ID: "n5", Address: "n5:1", StoreID: 15}}))
	if s.peers.of("n3") != s.peers.others[0] || s.peers.of("n2") != nil || len(s.peers.all) != 3 || len(s.peers.others) != 1 {
		t.Errorf("the peers are %+v", s.peers.all)
	}
	p := s.peers.of("n1")
	if p != n1 || p.foreign != 7 || p.pinnedStore != 11 || p.pid.Address != "elsewhere:1" || s.peers.at("n1:1") != nil {
		t.Errorf("who stays is %+v", p)
	}
	if p := s.peers.of("n4"); p.pinnedStore != 14 || !p.pinned {
		t.Errorf("who was pinned is %+v", p)
	}
	if p := s.peers.of("n5"); p.pinnedStore != 15 || p.pinned || s.outbox.open.records.PinnedPeers["n5"] != 15 {
		t.Errorf("whose directory is named is %+v, to be pinned is %v", p, s.outbox.open.records.PinnedPeers)
	}
}

func TestAConfigurationHasEachMemberOnce(t *testing.T) {
	c := newConfiguration(5,
		[]Member{{ID: "c"}, {ID: "a"}},
		[]Member{{ID: "a"}, {ID: "b"}},
		[]Member{{ID: "d", Address: "d:1", StoreID: 4}})
	if got := strings.Join(ids(c.Members()), " "); got != "a b c d" {
		t.Error(got)
	}
	for id, votes := range map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false} {
		if _, is := c.Member(id); is != (id != "e") || c.votes(id) != votes {
			t.Errorf("%s: a member %v, a voter %v", id, is, c.votes(id))
		}
	}
	two, three := map[string]bool{"c": true, "a": true}, map[string]bool{"c": true, "a": true, "b": true}
	if q := c.Quorum(); len(q) != 2 || q.Won(two) || !q.Won(three) {
		t.Errorf("the quorum is %v", c.Quorum())
	}
	again := decodeConfiguration(c.encoded())
	if again.Index != 5 || strings.Join(ids(again.Voters), " ") != "a c" ||
		strings.Join(ids(again.Outgoing), " ") != "a b" || again.Learners[0] != c.Learners[0] {
		t.Errorf("%+v became %+v", c, again)
	}
	if alone := newConfiguration(0, testMembers(3), nil, nil); len(alone.Quorum()) != 1 {
		t.Errorf("without a joint phase, %v must agree", alone.Quorum())
	}
}

// A group does not start on a node that does not know what is in its log.
func TestStartRefusesWhatItDoesNotKnow(t *testing.T) {
	_, nodes := startNetwork(t, 1)
	n := nodes[0]
	leaderOf(t, nodes)
	if err := n.system.Root.StopFuture(n.door.PID()).Wait(); err != nil {
		t.Fatal(err)
	}
	status := n.door.Status()
	if err := n.store.Write([]*persistence.Batch{{
		Group: 1, First: status.LastIndex + 1, Entries: []messages.EncodedEntry{levelEntry(status.Term, messages.Level+1)},
		HardState: persistence.HardState{Term: status.Term, Vote: "n1"}, Sync: true,
	}}); err != nil {
		t.Fatal(err)
	}
	_, err := Start(n.system.Root, Config{
		Group: "g", ID: "n1", Members: testMembers(1), Machine: newMoody(), Shared: n.shared, Number: 1,
		Clock: realClock{n.system.Root},
	})
	var tooOld TooOldError
	if !errors.As(err, &tooOld) || tooOld.Level != messages.Level {
		t.Errorf("it starts: %v", err)
	}
}
