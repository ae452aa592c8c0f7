package clientport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// openFile counts itself while it is open.
type openFile struct {
	io.Reader
	size int64
	open *atomic.Int64
}

func (f *openFile) Size() int64  { return f.size }
func (f *openFile) Close() error { f.open.Add(-1); return nil }

// withFile is a node with a snapshot, and counts how often it is open.
func withFile(content []byte) (*testNode, *atomic.Int64) {
	open := new(atomic.Int64)
	return &testNode{groups: []string{"g"}, open: func(context.Context) (Snapshot, error) {
		open.Add(1)
		return &openFile{bytes.NewReader(content), int64(len(content)), open}, nil
	}}, open
}

// alone is a client with a connection of its own, which takes little that it does not read.
func alone(t *testing.T, p *Port) messagesconnect.ClusterClient {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return messagesconnect.NewClusterClient(&http.Client{Transport: transport}, "http://"+p.Address())
}

// receive reads a whole stream.
func receive(t *testing.T, stream *connect.ServerStreamForClient[messages.SnapshotResponse]) (content []byte, err error) {
	t.Helper()
	for first := true; stream.Receive(); first = false {
		m := stream.Msg()
		if first && (m.Bytes != 0 || len(m.Data) > 0) {
			t.Errorf("the first message has %d of %d bytes", len(m.Data), m.Bytes)
		}
		if len(m.Data) > snapshotPiece {
			t.Errorf("a message has %d bytes", len(m.Data))
		}
		content = append(content, m.Data...)
		if !first && uint64(len(content)) > m.Bytes {
			t.Errorf("%d bytes of %d", len(content), m.Bytes)
		}
	}
	return content, stream.Err()
}

func TestASnapshotIsStreamed(t *testing.T) {
	for _, size := range []int{1, snapshotPiece, snapshotPiece + 1, 5*snapshotPiece + 7} {
		content := bytes.Repeat([]byte("troupe!"), size/7+1)[:size]
		node, open := withFile(content)
		stream, err := alone(t, served(t, node)).Snapshot(t.Context(), &messages.SnapshotRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := receive(t, stream); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d of %d bytes came: %v", len(got), size, err)
		}
		eventually(t, "the file is closed", func() bool { return open.Load() == 0 })
	}
}

func TestWhoCannotSendASnapshotSaysWhy(t *testing.T) {
	node, open := withFile([]byte("file"))
	node.lead = &actors.NotLeaderError{LeaderID: "n2", ClientAddress: "n2:1"}
	p := served(t, node)
	ask := func(r *messages.SnapshotRequest) ([]byte, error) {
		stream, err := alone(t, p).Snapshot(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return receive(t, stream)
	}
	_, err := ask(&messages.SnapshotRequest{})
	var coded *connect.Error
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !errors.As(err, &coded) || len(coded.Details()) != 1 {
		t.Errorf("a follower: %v", err)
	}
	if content, err := ask(&messages.SnapshotRequest{Local: true}); err != nil || string(content) != "file" {
		t.Errorf("a follower's own: %q, %v", content, err)
	}
	if _, err := ask(&messages.SnapshotRequest{Group: "h", Local: true}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("another group: %v", err)
	}
	node.open = func(context.Context) (Snapshot, error) { return nil, actors.ErrOverloaded }
	if _, err := ask(&messages.SnapshotRequest{Local: true}); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("no snapshot: %v", err)
	}
	node.groups = nil
	if _, err := ask(&messages.SnapshotRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("no group yet: %v", err)
	}
	if open.Load() != 0 {
		t.Errorf("%d files are open", open.Load())
	}
}

// A client that goes away closes the file, also while the node still makes it.
func TestAClientThatLeavesClosesTheFile(t *testing.T) {
	node, open := withFile(make([]byte, 64<<20))
	p := served(t, node)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := alone(t, p).Snapshot(ctx, &messages.SnapshotRequest{})
	if err != nil || !stream.Receive() || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	if open.Load() != 1 {
		t.Fatalf("%d files are open", open.Load())
	}
	cancel()
	eventually(t, "the file is closed", func() bool { return open.Load() == 0 })

	ended := make(chan error, 1)
	node.open = func(ctx context.Context) (Snapshot, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	ctx, cancel = context.WithCancel(t.Context())
	if stream, err = alone(t, p).Snapshot(ctx, &messages.SnapshotRequest{}); err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the node still waits")
	}
	eventually(t, "its room is free", func() bool { return p.limiter.answers.left() == p.limiter.answers.size })
}

// Clients that do not read what they asked for are few, hold little, and make room for one that reads.
func TestSlowClientsOfSnapshotsMakeRoom(t *testing.T) {
	limits := soon()
	limits.AnswerBytes = connectionShare * maxRequestBytes
	node, open := withFile(make([]byte, 1<<20))
	p := servedWithin(t, node, limits)
	most := limits.AnswerBytes / snapshotBytes
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // to close a stream would be to read it
	for range most + 4 {
		stream, err := alone(t, p).Snapshot(ctx, &messages.SnapshotRequest{})
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
	}
	if n := open.Load(); n > most+most/4 {
		t.Errorf("%d files are open, there is room for %d", n, most)
	}
	stream, err := alone(t, p).Snapshot(t.Context(), &messages.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := receive(t, stream); err != nil || len(got) != 1<<20 {
		t.Errorf("%d bytes came: %v", len(got), err)
	}
}
