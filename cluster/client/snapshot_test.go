package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

type snapshotStream = connect.ServerStream[messages.SnapshotResponse]

// sends sends pieces of a file of so many bytes, and ends with an error or none.
func sends(size int, end error, pieces ...string) func(context.Context, *messages.SnapshotRequest, *snapshotStream) error {
	return func(_ context.Context, _ *messages.SnapshotRequest, stream *snapshotStream) error {
		if err := stream.Send(&messages.SnapshotResponse{}); err != nil {
			return err
		}
		for _, piece := range pieces {
			if err := stream.Send(&messages.SnapshotResponse{Bytes: uint64(size), Data: []byte(piece)}); err != nil {
				return err
			}
		}
		return end
	}
}

func TestASnapshotComesFromTheLeader(t *testing.T) {
	leader := listen(t, &fake{snapshot: sends(9, nil, "four", "fives")})
	follower := listen(t, &fake{snapshot: func(_ context.Context, r *messages.SnapshotRequest, stream *snapshotStream) error {
		if r.GetLocal() && r.GetGroup() == "g" {
			return sends(3, nil, "own")(t.Context(), r, stream)
		}
		return notLeader(leader.address)
	}})
	for want, local := range map[string]bool{"fourfives": false, "own": true} {
		snapshot, err := connected(t, refusedAddress(t), follower.address).Snapshot(t.Context(), 5*time.Second, "g", local)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(snapshot)
		if err != nil || string(got) != want || snapshot.Size() != uint64(len(want)) {
			t.Errorf("%q of %d bytes, %v", got, snapshot.Size(), err)
		}
		_ = snapshot.Close()
	}
}

func TestASnapshotThatBreaksOffIsNoSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		send func(context.Context, *messages.SnapshotRequest, *snapshotStream) error
		want string
	}{
		"a node that fails": {sends(9, connect.NewError(connect.CodeUnavailable, errors.New("its disk failed")), "four"),
			"had sent 4 of 9 bytes: its disk failed"},
		"less than it said": {sends(9, nil, "four"), "had sent 4 of 9 bytes: the node sent less than the whole"},
		"more than it said": {sends(3, nil, "four"), "had sent 4 of 3 bytes"},
		"nothing":           {sends(0, nil), " had sent any of it: the node sent less"},
	} {
		snapshot, err := connected(t, listen(t, &fake{snapshot: c.send}).address).Snapshot(t.Context(), 5*time.Second, "", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(snapshot); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		_ = snapshot.Close()
	}
}

// The time is for finding a node. A transfer may take longer, and ends with its context.
func TestASnapshotMayTakeLongerThanFindingANode(t *testing.T) {
	release, ended := make(chan struct{}), make(chan struct{})
	content := bytes.Repeat([]byte("x"), 100)
	node := listen(t, &fake{snapshot: func(ctx context.Context, r *messages.SnapshotRequest, stream *snapshotStream) error {
		if err := stream.Send(&messages.SnapshotResponse{}); err != nil {
			return err
		}
		if r.GetGroup() == "endless" {
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		}
		<-release
		return stream.Send(&messages.SnapshotResponse{Bytes: 100, Data: content})
	}})
	const find = 300 * time.Millisecond
	snapshot, err := connected(t, node.address).Snapshot(t.Context(), find, "", false)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*find, func() { close(release) })
	if got, err := io.ReadAll(snapshot); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%q, %v", got, err)
	}
	_ = snapshot.Close()

	ctx, cancel := context.WithCancel(t.Context())
	snapshot, err = connected(t, node.address).Snapshot(ctx, find, "endless", false)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(snapshot); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("after its context: %v", err)
	}
	_ = snapshot.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the node was not told")
	}
}

func TestASnapshotThatNobodySends(t *testing.T) {
	silent := listen(t, &fake{snapshot: func(ctx context.Context, _ *messages.SnapshotRequest, _ *snapshotStream) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	unknown := listen(t, &fake{snapshot: func(context.Context, *messages.SnapshotRequest, *snapshotStream) error {
		return connect.NewError(connect.CodeNotFound, errors.New("there is no such group"))
	}})
	for address, want := range map[string]error{silent.address: client.ErrUnavailable, unknown.address: client.ErrInvalid} {
		if _, err := connected(t, address).Snapshot(t.Context(), 300*time.Millisecond, "", false); !errors.Is(err, want) {
			t.Errorf("%v: %v", want, err)
		}
	}
}
