package offline

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// directory has groups that were founded by two nodes, and others that were not founded.
func directory(t *testing.T, founded, empty string) string {
	t.Helper()
	dir := t.TempDir()
	s, err := persistence.Open(dir, persistence.Options{NodeID: "n1", Cluster: "test", StoreID: 11})
	if err != nil {
		t.Fatal(err)
	}
	members := []*messages.Member{{Id: "n1", Address: "a:1", StoreId: 11}, {Id: "n2", Address: "b:1", StoreId: 12}}
	founding, err := proto.Marshal(&messages.Founding{
		ClusterId: 77, Level: messages.Level, Configuration: &messages.Configuration{Index: 1, Voters: members},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(founded + " " + empty) {
		record, err := s.Group(name, members)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(founded, name) {
			continue
		}
		if err := s.Write([]*persistence.Batch{{
			Group: persistence.GroupID(record.Number), First: 1,
			Entries:   []messages.EncodedEntry{messages.EncodeEntry(1, messages.Entry_KIND_FOUNDING, founding)},
			HardState: persistence.HardState{Term: 1}, Sync: true,
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// clusters are those that the groups of a directory are in, in order.
func clusters(t *testing.T, dir string) (ids []string) {
	t.Helper()
	r, err := (&Recovery{Dir: dir}).Run()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Groups {
		ids = append(ids, g.ClusterID)
	}
	return ids
}

const old = "000000000000004d"

func TestAllGroupsAreRecoveredOrTheOneThatIsNamed(t *testing.T) {
	dir := directory(t, "a b", "")
	r, err := (&Recovery{Dir: dir, Group: "b", Change: true}).Run()
	if err != nil || len(r.Groups) != 1 || !r.Groups[0].Recovered {
		t.Fatalf("%+v, %v", r, err)
	}
	first := clusters(t, dir)
	if again := clusters(t, dir); !slices.Equal(again, first) {
		t.Errorf("looking at it made %v of %v", again, first)
	}
	if first[0] != old || first[1] != r.Groups[0].NewClusterID || first[1] == old {
		t.Errorf("they are in clusters %v", first)
	}
	if r, err = (&Recovery{Dir: dir, Change: true}).Run(); err != nil || len(r.Groups) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	now := clusters(t, dir)
	if now[0] != r.Groups[0].NewClusterID || now[1] != r.Groups[1].NewClusterID || now[0] == now[1] || now[1] == first[1] {
		t.Errorf("they are in clusters %v", now)
	}
}

// One group that cannot be recovered keeps the others from it, unless one is named.
func TestAGroupThatCannotBeRecovered(t *testing.T) {
	refused := func(dir, why string) {
		t.Helper()
		if _, err := (&Recovery{Dir: dir, Change: true}).Run(); err == nil || !strings.Contains(err.Error(), why) {
			t.Error(err)
		}
	}
	refused(directory(t, "", ""), "there is no group in")
	dir := directory(t, "a", "b")
	refused(dir, "group b has no log on this node, so nothing can be recovered: look on the other nodes; name the groups that have one")
	r, err := (&Recovery{Dir: dir, Group: "a"}).Run()
	if err != nil || r.Groups[0].ClusterID != old || r.Groups[0].LastIndex != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := (&Recovery{Dir: dir, Group: "a", Change: true}).Run(); err != nil {
		t.Error(err)
	}
}
