//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// halfway is a node that sends half of a snapshot, and then waits for its client to go, or for its own end.
type halfway struct {
	messagesconnect.UnimplementedClusterHandler
	server *httptest.Server
	sent   chan struct{}
}

func newHalfway(t *testing.T) *halfway {
	h := &halfway{sent: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewClusterHandler(h))
	h.server = httptest.NewUnstartedServer(mux)
	h.server.Config.Protocols = new(http.Protocols)
	h.server.Config.Protocols.SetUnencryptedHTTP2(true)
	h.server.Start()
	t.Cleanup(h.end)
	return h
}

func (h *halfway) end() {
	h.server.CloseClientConnections()
	h.server.Close()
}

func (h *halfway) Snapshot(
	ctx context.Context, _ *messages.SnapshotRequest, stream *connect.ServerStream[messages.SnapshotResponse],
) error {
	for _, m := range []*messages.SnapshotResponse{{}, {Bytes: 8, Data: []byte("half")}} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	close(h.sent)
	<-ctx.Done()
	return ctx.Err()
}

// A backup that is interrupted, or whose node dies, is exit code 1, a sentence, and no file.
func TestABackupThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*halfway, *exec.Cmd)
		want string
	}{
		"interrupted":   {func(_ *halfway, save *exec.Cmd) { _ = save.Process.Signal(syscall.SIGINT) }, "interrupted\n"},
		"the node dies": {func(h *halfway, _ *exec.Cmd) { h.server.CloseClientConnections() }, "the snapshot broke off"},
	} {
		node, dir := newHalfway(t), t.TempDir()
		address := node.server.Listener.Addr().String()
		save := exec.Command(builtBinary(t), "snapshot", "save", filepath.Join(dir, "file"), "--endpoints", address)
		var errs bytes.Buffer
		save.Stderr, save.SysProcAttr = &errs, endWithParent()
		if err := save.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = save.Wait(); close(ended) }()
		select {
		case <-node.sent:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing was asked for: %s", name, errs.String())
		}
		c.end(node, save)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = save.Process.Kill()
			t.Fatalf("%s: it goes on", name)
		}
		o := outcome{save.ProcessState.ExitCode(), "", errs.String()}
		o.want(t, name, exitFailed, "", c.want)
		isEmpty(t, dir)
	}
}
