package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
)

func TestABodyMustArriveInTimeAndAnAnswerMayTakeLonger(t *testing.T) {
	const patience = 100 * time.Millisecond
	read := make(chan error, 1)
	server := httptest.NewServer(limitBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		if err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		case <-time.After(4 * patience):
		}
	}), patience, 1<<20))
	defer server.Close()

	response, err := http.Post(server.URL, "text/plain", strings.NewReader("in time"))
	if err != nil || response.StatusCode != http.StatusOK || <-read != nil {
		t.Fatal("an answer was cut short by the time limit of its request:", err)
	}
	_ = response.Body.Close()

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	select {
	case err := <-read:
		if err == nil {
			t.Fatal("half a body was taken for a whole one")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a body that does not come holds up its handler")
	}
}

func TestAnnouncedSizes(t *testing.T) {
	server := httptest.NewServer(limitBody(http.NotFoundHandler(), time.Second, 1<<20))
	defer server.Close()
	for kind, want := range map[string]int{"application/json": http.StatusBadRequest, "text/plain": http.StatusRequestEntityTooLarge} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", kind, maxRequestBytes+1)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = conn.Close()
		if response.StatusCode != want || !strings.Contains(string(text), "too large") {
			t.Errorf("%s: %d %s", kind, response.StatusCode, text)
		}
	}
}

func TestBodiesHaveRoomTogether(t *testing.T) {
	const room = 1000
	held, release, answered := make(chan error), make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(limitBody(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		held <- err
		<-release
	}), time.Minute, room))
	defer server.Close()
	post := func(size int) error {
		go func() {
			response, err := http.Post(server.URL, "text/plain", strings.NewReader(strings.Repeat("x", size)))
			if err == nil {
				_ = response.Body.Close()
			}
			answered <- struct{}{}
		}()
		return <-held
	}
	for range 2 {
		if err := errors.Join(post(room/2), post(room/2)); err != nil {
			t.Error("what has room is refused:", err)
		}
		if err := post(1); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Error("a byte too many is answered with", err)
		}
		for range 3 {
			release <- struct{}{}
			<-answered
		}
	}
}
