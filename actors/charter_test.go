package actors

import (
	"errors"
	"strings"
	"testing"

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
	s.append(3, messages.Entry_KIND_FOUNDING, foundingOf77(t, 3))
	expect(1, 1, 77, 1)
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
	if len(s.peers.all) != 2 || s.peers.of("n1") == nil || s.peers.of("n2") != nil {
		t.Errorf("the peers are %v", s.peers.all)
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
			persistence.Recovered{HardState: persistence.HardState{Term: 1, Commit: 1}, Last: 9, Amendments: c.amendments})
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
	if s.peers.of("n3") != nil || s.peers.of("n2") != nil || len(s.peers.all) != 3 {
		t.Errorf("the peers are %+v", s.peers.all)
	}
	if p := s.peers.of("n1"); p != n1 || p.foreign != 7 || p.storeID != 11 || p.pid.Address != "elsewhere:1" || s.peers.at("n1:1") != nil {
		t.Errorf("who stays is %+v", p)
	}
	if p := s.peers.of("n4"); p.storeID != 14 || !p.pinned {
		t.Errorf("who was pinned is %+v", p)
	}
	if p := s.peers.of("n5"); p.storeID != 15 || p.pinned || s.outbox.open.records.PinnedPeers["n5"] != 15 {
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
		Group: "g", ID: "n1", Members: testMembers(1), Machine: newMoody(), Store: n.store, Number: 1, Journal: n.journal,
		Clock: realClock{n.system.Root},
	})
	var tooOld TooOldError
	if !errors.As(err, &tooOld) || tooOld.Level != messages.Level {
		t.Errorf("it starts: %v", err)
	}
}
