package clientport

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/attacker"
)

// limited serves a handler within limits, as the client port does.
func limited(t *testing.T, limits Limits, h http.HandlerFunc) (*limiter, string) {
	t.Helper()
	limits.SetDefaults()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter(limits)
	server := newServer(l, h, false, nil)
	go func() { _ = server.Serve(l.listener(listener)) }()
	t.Cleanup(func() { _ = server.Close(); l.stop() })
	return l, listener.Addr().String()
}

func dial(t *testing.T, address string, window uint32) *attacker.Conn {
	t.Helper()
	a, err := attacker.Dial(address, window)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// begin sends requests' headers.
func begin(t *testing.T, a *attacker.Conn, n, size int) {
	t.Helper()
	for range n {
		if _, err := a.Begin("/", size); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// post is a request on a connection of its own.
func post(t *testing.T, address, path, body string) (status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Post("http://"+address+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(answer)
}

// together posts the bodies on one HTTP/2 connection, all at the same time, and says what the answers were.
func together(t *testing.T, address string, n int, body []byte) map[string]int {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	said := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			what := ""
			if r, err := client.Post("http://"+address+"/", "text/plain", bytes.NewReader(body)); err != nil {
				what = err.Error()
			} else {
				answer, err := io.ReadAll(r.Body)
				what = fmt.Sprint(r.StatusCode, err)
				if r.StatusCode != http.StatusOK {
					what += strings.TrimSpace(string(answer))
				}
				_ = r.Body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			said[what]++
		})
	}
	all.Wait()
	return said
}

func readAll(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	}
}

// soon are limits that tests reach.
func soon() Limits {
	return Limits{Still: 20 * time.Millisecond, Patience: 5 * time.Second, Slow: time.Minute}
}

func (r *room) left() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free
}

func contains(text, part string) bool { return strings.Contains(text, part) }
