package cluster_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/persistence"
)

// A snapshot has what was acknowledged, and stays what it is while newer ones take its place.
func TestSnapshotsOfAGroup(t *testing.T) {
	if !alone(t) {
		return
	}
	node, group := single(t, t.TempDir(), kv.NewMap())
	defer shutdown(t, node)
	eventually(t, "the node leads", func() bool { return leads(group) })
	m := kv.Open(group)
	var open []*cluster.Snapshot
	for i := range 5 {
		if _, err := m.Put(t.Context(), fmt.Sprint("k", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
		s, err := group.Snapshot(t.Context(), i%2 == 1)
		if err != nil {
			t.Fatal(err)
		}
		if s.Index() != uint64(i+3) || s.Term() == 0 {
			t.Errorf("write %d: index %d, term %d", i, s.Index(), s.Term())
		}
		open = append(open, s)
	}
	for i, s := range open {
		if keys := keysOf(t, s); keys != i+1 {
			t.Errorf("snapshot %d has %d keys", i, keys)
		}
	}
}

// keysOf counts the keys in a snapshot, and closes it.
func keysOf(t *testing.T, s *cluster.Snapshot) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	content, err := io.ReadAll(s)
	if err = errors.Join(err, s.Close(), os.WriteFile(path, content, 0o600)); err != nil || int64(len(content)) != s.Size() {
		t.Fatal(len(content), s.Size(), err)
	}
	r, err := persistence.OpenSnapshotFile(vfs.Default, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	state, err := actors.StateOf(r.Header(), r)
	if err != nil {
		t.Fatal(err)
	}
	keys, _, _, err := kv.Inspect(state)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Who does not lead says who does, and gives only what it has itself.
func TestSnapshotsOfAGroupWithoutALeader(t *testing.T) {
	if !alone(t) {
		return
	}
	c := cluster.Config{
		ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t), Timing: fastTiming(), Logger: testLogger(t),
	}
	node, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	members := []actors.Member{{ID: "n1", Address: c.PeerAddr}, {ID: "n2", Address: loopback.FreeAddress(t)}}
	group, err := node.StartGroup(t.Context(), "kv", members, kv.NewMap())
	if err != nil {
		t.Fatal(err)
	}
	var notLeader *actors.NotLeaderError
	if _, err := group.Snapshot(t.Context(), false); !errors.As(err, &notLeader) {
		t.Error(err)
	}
	_, err = group.Snapshot(t.Context(), true)
	mustContain(t, err, "nothing is applied yet")
	shutdown(t, node)
	if _, err := group.Snapshot(t.Context(), true); !errors.Is(err, actors.ErrClosed) {
		t.Error(err)
	}
}

// Many short logs stay within the node's budget together.
func TestManyShortLogsStayWithinTheBudget(t *testing.T) {
	if !alone(t) {
		return
	}
	const groups, budget = 8, 8 * 8 << 10
	c := cluster.Config{
		ID: "n1", DataDir: t.TempDir(), PeerAddr: loopback.FreeAddress(t), Timing: fastTiming(), Logger: testLogger(t), LogBudget: budget,
	}
	node, err := cluster.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, node)
	var all []*cluster.Group
	for g := range groups {
		group, err := node.StartGroup(t.Context(), fmt.Sprint("g", g), []actors.Member{{ID: "n1", Address: c.PeerAddr}}, kv.NewMap())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, group)
	}
	for _, group := range all {
		eventually(t, "the node leads", func() bool { return leads(group) })
		for range 32 {
			if _, err := kv.Open(group).Put(t.Context(), "k", make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the logs are short enough", func() bool {
		sum := int64(0)
		for _, group := range all {
			sum += group.Status().LogBytes
		}
		return sum <= budget
	})
}
