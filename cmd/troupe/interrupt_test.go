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

	"connectrpc.com/connect"

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

// silent is a server that opens sessions, and answers nothing else; it tells when it was asked for something else.
type silent struct {
	messagesconnect.UnimplementedGroupHandler
	asked chan struct{}
}

func (s silent) Exchange(_ context.Context, stream *connect.BidiStream[messages.ExchangeRequest, messages.ExchangeResponse]) error {
	if err := stream.Send(&messages.ExchangeResponse{Credit: 100}); err != nil {
		return err
	}
	for {
		m, err := stream.Receive()
		if err != nil {
			return err
		}
		answer := &messages.ExchangeResponse{Pong: m.Ping}
		for _, c := range m.Calls {
			if open := c.GetOpen(); open != nil {
				id := messages.SessionID{Index: 1, Nonce: open.Nonce}
				opened := &messages.CallAnswer_Opened{Opened: &messages.OpenResponse{Session: id.Bytes(), Window: 100}}
				answer.Answers = append(answer.Answers, &messages.CallAnswer{Id: c.Id, Answer: opened})
			} else {
				s.asked <- struct{}{}
			}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func startSilent(t *testing.T) (address string, asked <-chan struct{}) {
	t.Helper()
	server := silent{asked: make(chan struct{}, 1000)}
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewGroupHandler(server))
	listener := httptest.NewUnstartedServer(mux)
	listener.Config.Protocols = new(http.Protocols)
	listener.Config.Protocols.SetHTTP1(true)
	listener.Config.Protocols.SetUnencryptedHTTP2(true)
	listener.Start()
	t.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
	})
	return listener.Listener.Addr().String(), server.asked
}

// A write that was sent, and never answered, has perhaps been done.
func TestOutcomeUnknown(t *testing.T) {
	address, _ := startSilent(t)
	for _, write := range []string{"put k v", "delete k", "cas k v w"} {
		args := append(strings.Fields(write), "--timeout", "300ms", "--endpoints", address)
		troupe(t, "", args...).want(t, write, exitUnknown, "", "the outcome is unknown")
	}
}

// A write that was sent has perhaps been done; for a read, and for the many writes of bench, that is of no matter.
func TestInterruptedWhileTheServerIsSilent(t *testing.T) {
	address, asked := startSilent(t)
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
			<-asked
			cancel()
		}()
		args := append(strings.Fields(c.line), "--timeout", "1m", "--endpoints", address)
		o := runWith(t, ctx, strings.NewReader(""), args...)
		if o.code != c.code || !strings.HasPrefix(o.err, "troupe "+args[0]+": "+c.want) {
			t.Errorf("%s: want %q\n%v", c.line, c.want, o)
		}
		cancel()
	}
}
