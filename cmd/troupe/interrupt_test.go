package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// runWith runs a command line that somebody may interrupt, and fails the test when it does not end.
func runWith(t *testing.T, ctx context.Context, in io.Reader, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	term := &terminal{in: in, out: &out, err: &errs, env: func(string) string { return "" }}
	code := make(chan int, 1)
	go func() { code <- run(ctx, term, args) }()
	select {
	case c := <-code:
		return outcome{c, out.String(), errs.String()}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q goes on", args)
		return outcome{}
	}
}

// Whatever a command waits for, a signal ends that, and the command says so in the same words.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for line, want := range map[string]string{
		"put k -":                        "interrupted; nothing was written",
		"cas k a -":                      "interrupted; nothing was written",
		"put k v":                        "interrupted; nothing was written",
		"delete k":                       "interrupted; nothing was written",
		"get k":                          "interrupted",
		"status":                         "interrupted",
		"bench":                          "interrupted",
		"bench --rate 10":                "interrupted",
		"simulate --seeds 2":             "interrupted after 0 of 2 seeds: none failed",
		"simulate --seeds 1000":          "interrupted after 0 of 1000 seeds: none failed",
		"simulate --seeds 2 --json":      "interrupted",
		"bench --local 1 --sync-time 1s": "interrupted",
		"bench --local 1 --recover 10":   "interrupted",
		"demo":                           "interrupted",
	} {
		args := strings.Fields(line)
		switch {
		case strings.Contains(line, "local"), args[0] == "demo":
			args = append(args, "--dir", t.TempDir())
		case args[0] != "simulate":
			args = append(args, "--endpoints", "127.0.0.1:1")
		}
		never, w := io.Pipe()
		o := runWith(t, ctx, never, args...)
		w.Close()
		if o.code != exitFailed || o.err != "troupe "+args[0]+": "+want+"\n" {
			t.Errorf("%s: want %q\n%v", line, want, o)
		}
	}
}

// silent is a server that does not answer; it tells when it was asked.
type silent struct {
	messagesconnect.UnimplementedClusterHandler
	messagesconnect.UnimplementedKeyValueHandler
	asked chan struct{}
}

func (s silent) Put(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
	return nil, s.wait(ctx)
}

func (s silent) Get(ctx context.Context, _ *messages.GetRequest) (*messages.GetResponse, error) {
	return nil, s.wait(ctx)
}

func (s silent) wait(ctx context.Context) error {
	s.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// A write that was sent has perhaps been done; for a read, and for the many writes of bench, that is of no matter.
func TestInterruptedWhileTheServerIsSilent(t *testing.T) {
	server := silent{asked: make(chan struct{}, 1000)}
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewKeyValueHandler(server))
	mux.Handle(messagesconnect.NewClusterHandler(server))
	listener := httptest.NewUnstartedServer(mux)
	listener.Config.Protocols = new(http.Protocols)
	listener.Config.Protocols.SetHTTP1(true)
	listener.Config.Protocols.SetUnencryptedHTTP2(true)
	listener.Start()
	defer listener.Close()
	for _, c := range []struct {
		line, want string
		code       int
	}{
		{"put k v", "interrupted; the outcome is unknown (", exitUnknown},
		{"get k", "interrupted\n", exitFailed},
		{"bench", "interrupted\n", exitFailed},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-server.asked
			cancel()
		}()
		args := append(strings.Fields(c.line), "--timeout", "1m", "--endpoints", listener.Listener.Addr().String())
		o := runWith(t, ctx, strings.NewReader(""), args...)
		if o.code != c.code || !strings.HasPrefix(o.err, "troupe "+args[0]+": "+c.want) {
			t.Errorf("%s: want %q\n%v", c.line, c.want, o)
		}
		cancel()
	}
}
