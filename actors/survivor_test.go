package actors

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// survivingStore is the store of n1 (data directory 11) with this in the log of the group g, of three.
func survivingStore(t *testing.T, fs vfs.FS, hard persistence.HardState, entries ...messages.EncodedEntry) (
	*persistence.Store, *messages.GroupRecord,
) {
	t.Helper()
	store, err := persistence.Open("data", persistence.Options{FS: fs, NodeID: "n1", Cluster: "test", StoreID: 11})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	record, err := store.Group("g", encodeMembers(testMembers(3)))
	if err != nil {
		t.Fatal(err)
	}
	b := &persistence.Batch{Group: 1, First: 1, Entries: entries, HardState: hard, Sync: true}
	if err := store.Write([]*persistence.Batch{b}); err != nil {
		t.Fatal(err)
	}
	return store, record
}

func configured(t *testing.T, index, term uint64, members string) messages.EncodedEntry {
	return messages.EncodeEntry(term, messages.Entry_KIND_CONFIGURATION, encode(configurationOf(t, index, members).encoded()))
}

// Of whatever it has, a survivor makes a cluster of its own.
func TestASurvivorGoesOnAlone(t *testing.T) {
	founding := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, foundingOf77(t, 3))
	level := levelEntry(2, messages.LevelMembership)
	noop := entryAt(4, 3)
	for name, c := range map[string]struct {
		hard    persistence.HardState
		entries []messages.EncodedEntry
		part    Part
		storeID uint64 // as the configuration has it; 0: not at all
		added   int
	}{
		"a voter": {persistence.HardState{Term: 9, Vote: "n2", Commit: 2, ClusterID: 77, Promise: time.Second},
			[]messages.EncodedEntry{founding, level, entryAt(3, 2), noop}, Voter, 11, 1},
		"of a group of the first level": {persistence.HardState{Term: 3, Commit: 1, ClusterID: 77},
			[]messages.EncodedEntry{founding, entryAt(2, 2), entryAt(3, 2), noop}, Voter, 11, 2},
		"a founder that knows of no commit": {persistence.HardState{Term: 3}, []messages.EncodedEntry{founding, noop}, Voter, 11, 2},
		"a learner": {persistence.HardState{Term: 3, Commit: 3, ClusterID: 77},
			[]messages.EncodedEntry{founding, level, configured(t, 3, 2, "n2+n3/n1"), noop}, Learner, 11, 1},
		"of a joint phase": {persistence.HardState{Term: 3, Commit: 2, ClusterID: 77},
			[]messages.EncodedEntry{founding, level, configured(t, 3, 2, "n2+n3-n1+n2+n3"), noop}, Absent, 11, 1},
		"who left": {persistence.HardState{Term: 3, Commit: 4, ClusterID: 77},
			[]messages.EncodedEntry{founding, level, configured(t, 3, 2, "n2+n3"), noop}, Absent, 0, 1},
		"from another directory": {persistence.HardState{Term: 3, Commit: 4, ClusterID: 77},
			[]messages.EncodedEntry{founding, level, configured(t, 3, 2, "n1*+n2+n3"), noop}, Voter, 91, 1},
	} {
		t.Run(name, func(t *testing.T) {
			store, record := survivingStore(t, vfs.NewMem(), c.hard, c.entries...)
			found, err := FindSurvivor(store, record)
			if err != nil {
				t.Fatal(err)
			}
			had, _ := found.Configuration.Member("n1")
			if found.LastIndex != uint64(len(c.entries)) || found.LastTerm != 3 || found.Committed != c.hard.Commit ||
				found.ClusterID != 77 || found.Configuration.PartOf("n1") != c.part || had.StoreID != c.storeID {
				t.Errorf("%+v", found)
			}
			if err := store.WriteTogether([]*persistence.Batch{found.Alone(88)}); err != nil {
				t.Fatal(err)
			}
			r, err := store.Recover(1)
			if err != nil {
				t.Fatal(err)
			}
			want := c.hard
			want.Term, want.Vote, want.ClusterID = max(c.hard.Term, 3)+1, "", 88
			if r.HardState != want || r.Last != found.LastIndex+uint64(c.added) || r.Spans[len(r.Spans)-1].Term != want.Term {
				t.Errorf("%+v", r)
			}
			again, err := FindSurvivor(store, record)
			if err != nil {
				t.Fatal(err)
			}
			self, _ := again.Configuration.Member("n1")
			if again.ClusterID != 88 || membersIn(again.Configuration) != "n1" || self.StoreID != 11 || self.Address != "n1:1" ||
				again.state.charter().level != messages.LevelMembership || again.Committed != found.Committed {
				t.Errorf("%+v", again)
			}
		})
	}
}

// servesAlone starts what a survivor left: it elects itself, and is in cluster 88.
func servesAlone(t *testing.T, disk vfs.FS) {
	t.Helper()
	net := &network{nodes: map[string]*testNode{}, cut: map[string]bool{}}
	n := &testNode{t: t, net: net, address: "n1:1", fs: disk}
	n.start("n1", testMembers(3))
	leaderOf(t, []*testNode{n})
	if a := propose(n.door, "more"); a.Err != nil {
		t.Error(a.Err)
	}
	s := n.door.Status()
	if s.ClusterID != 88 || membersIn(s.Configuration) != "n1" || s.Configuration.Members()[0].StoreID != 11 {
		t.Errorf("%+v", s)
	}
}

// Recovered again, it is another cluster again.
func TestASurvivorIsRecoveredTwice(t *testing.T) {
	disk := vfs.NewMem()
	founding := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, foundingOf77(t, 3))
	store, record := survivingStore(t, disk, persistence.HardState{Term: 3}, founding)
	for _, id := range []uint64{99, 88} {
		found, err := FindSurvivor(store, record)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.WriteTogether([]*persistence.Batch{found.Alone(id)}); err != nil {
			t.Fatal(err)
		}
	}
	_ = store.Close()
	servesAlone(t, disk)
}

func TestWhatCannotBeRecovered(t *testing.T) {
	founding := messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, foundingOf77(t, 3))
	for name, c := range map[string]struct {
		entries []messages.EncodedEntry
		why     string
	}{
		"nothing":        {nil, "group g has no log on this node"},
		"a later level":  {[]messages.EncodedEntry{founding, levelEntry(1, messages.Level+1)}, "start a newer troupe on this node"},
		"no founding":    {[]messages.EncodedEntry{entryAt(2, 1)}, "begins with the founding"},
		"a strange kind": {[]messages.EncodedEntry{founding, messages.EncodeEntry(1, 99, nil)}, "unknown kind 99"},
	} {
		store, record := survivingStore(t, vfs.NewMem(), persistence.HardState{Term: 1}, c.entries...)
		if _, err := FindSurvivor(store, record); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A snapshot from before the recovery names the old cluster. Whoever gets it is of its leader's.
func TestASnapshotFromBeforeARecoveryIsInstalled(t *testing.T) {
	snapshot := &messages.Snapshot{LastIncludedIndex: 5, LastIncludedTerm: 2, Charter: &messages.Charter{
		Index: 1, ClusterId: 77, Level: 1, Configuration: newConfiguration(1, membersOf(t, "n1+n2+n3"), nil, nil).encoded(),
	}}
	for _, known := range []uint64{0, 88} {
		s := stateWith(nil, 9)
		s.clusterID = known
		if err := s.install(snapshot, &messages.Header{From: "n1", ClusterId: 88, Term: 9}); err != nil || s.clusterID != 88 {
			t.Errorf("knowing cluster %d: %v, it is in cluster %d", known, err, s.clusterID)
		}
	}
	s := stateWith(nil, 9)
	s.clusterID = 88
	if err := s.install(snapshot, &messages.Header{From: "n1", ClusterId: 77, Term: 9}); err == nil {
		t.Error("a leader of the old cluster installs a snapshot")
	}
}
