package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
)

// reconfigure changes the members until that is done.
func (e *embedded) reconfigure(c actors.Change) {
	e.t.Helper()
	eventually(e.t, "the members are others", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := e.leading().Reconfigure(ctx, c)
		return err == nil
	})
}

// Whoever knows the cluster id of a group here is heard, and only members are shown one.
func TestWhatANodeAdmits(t *testing.T) {
	node, group := single(t, t.TempDir(), kv.NewMap())
	eventually(t, "it leads", func() bool { return leads(group) })
	id := group.Status().ClusterID
	header := func(group string, cluster uint64) *messages.Header {
		return &messages.Header{Group: group, ClusterId: cluster}
	}
	for what, test := range map[string]struct {
		m  proto.Message
		is bool
	}{
		"a request":       {&messages.RequestVote{Header: header("kv", id)}, true},
		"a reply":         {&messages.AppendEntriesReply{Header: header("kv", id)}, true},
		"another cluster": {&messages.AppendEntries{Header: header("kv", id+1)}, false},
		"no cluster":      {&messages.AppendEntries{Header: header("kv", 0)}, false},
		"another group":   {&messages.AppendEntries{Header: header("other", id)}, false},
		"no group":        {&messages.AppendEntries{Header: header("", 0)}, false},
		"no header":       {&messages.InstallSnapshot{}, false},
		"no RPC":          {&messages.NodeStatusRequest{Group: "kv", From: "n1"}, false},
		"nothing":         {nil, false},
	} {
		if node.Admits(test.m) != test.is {
			t.Errorf("%s is admitted: %v", what, !test.is)
		}
	}
	if all := node.Shows("127.0.0.1:9"); len(all) != 0 {
		t.Errorf("somebody else is shown %v", all)
	}
	if all := node.Shows(node.PeerAddr()); len(all) != 1 || !node.Admits(all[0]) {
		t.Errorf("a member is shown %v", all)
	}
}

// TestNodesThatDoNotKnowEachOther: a node that is removed hears of it although it is nobody's peer any more. A node that was away hears a
// leader that is none of its peers.
func TestNodesThatDoNotKnowEachOther(t *testing.T) {
	if raceDetector {
		t.Skip("two remotes in one process race inside Proto.Actor")
	}
	if !alone(t) {
		return
	}
	specs := clusterSpecs(t, 4)
	m, err := cluster.ParseMembers(specs[0].Members)
	if err != nil {
		t.Fatal(err)
	}
	e := &embedded{t, m, map[string]*cluster.Node{}, map[string]*cluster.Group{}, map[string]*kv.Map{}}
	for _, spec := range specs {
		e.start(spec)
	}
	e.reconfigure(actors.Change{Voters: m[:3], Learners: m[3:]})
	m = e.leading().Members() // with their data directories
	e.reconfigure(actors.Change{Voters: m[:3]})
	eventually(t, "n3 knows who left", func() bool { return len(e.groups["n3"].Members()) == 3 })
	eventually(t, "n4 knows that it left", func() bool { return errors.Is(e.groups["n4"].Status().Unready, actors.ErrRemoved) })

	shutdown(t, e.nodes["n3"])
	e.nodes["n3"] = nil
	e.reconfigure(actors.Change{Voters: m[:2], Learners: m[2:]})
	e.reconfigure(actors.Change{Voters: []actors.Member{m[0], m[1], m[3]}, Learners: m[2:3]})
	e.reconfigure(actors.Change{Voters: m[3:], Learners: m[:3]})
	eventually(t, "n4 leads", func() bool { return leads(e.groups["n4"]) })
	if err := e.put("key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	e.start(specs[2])
	last := e.groups["n4"].Status().CommitIndex
	eventually(t, "n3 hears its leader", func() bool { return e.groups["n3"].Status().AppliedIndex >= last })
}
