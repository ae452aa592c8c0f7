package actors

import (
	"os"
	"testing"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// A group starts from what the first store format holds of it.
func TestAGroupStartsFromTheGoldenDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../persistence/testdata/golden/format-1")); err != nil {
		t.Fatal(err)
	}
	store, err := persistence.Open(dir, persistence.Options{NodeID: "n1", Cluster: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	recovered, err := store.Recover(1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newState(&Config{ID: "n1", Group: "first", Members: testMembers(2), Level: messages.Level}, store.Identity(), recovered)
	if err != nil {
		t.Fatal(err)
	}
	c := s.charter()
	if c.index != 3 || c.level != 1 || c.clusterID != 77 || c.configuration.Index != 1 || s.clusterID != 77 || s.votedFor != "n2" {
		t.Errorf("recovered %+v, cluster %d, vote %q", c, s.clusterID, s.votedFor)
	}
	if p := s.peers.of("n2"); p == nil || p.pinnedStore != 12 || !p.pinned {
		t.Errorf("n2 is %+v", p)
	}
}
