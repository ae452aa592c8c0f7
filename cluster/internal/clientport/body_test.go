package clientport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
)

func TestABodyMustArriveInTimeAndAnAnswerMayTakeLonger(t *testing.T) {
	limits := soon()
	limits.Slow = 100 * time.Millisecond
	read := make(chan error, 1)
	_, address := limited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		if err == nil {
			select {
			case <-r.Context().Done():
				w.WriteHeader(http.StatusInternalServerError)
			case <-time.After(4 * limits.Slow):
			}
		}
	})
	if status, text := post(t, address, "/", "in time"); status != http.StatusOK || <-read != nil {
		t.Fatal("an answer was cut short by the time limit of its request:", status, text)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	select {
	case err := <-read:
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Fatal("half a body is read as", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a body that does not come holds up its handler")
	}
}

// Over HTTP/1, a client that sends too much still gets to read why it is refused.
func TestTooLargeIsSaid(t *testing.T) {
	_, address := limited(t, soon(), readAll)
	for kind, want := range map[string]int{"application/json": http.StatusBadRequest, "text/plain": http.StatusRequestEntityTooLarge} {
		response, err := http.Post("http://"+address, kind, bytes.NewReader(make([]byte, 5<<20)))
		if err != nil {
			t.Fatal(kind, err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want || !strings.Contains(string(text), "too large") {
			t.Errorf("%s: %d %s", kind, response.StatusCode, text)
		}
	}
	for range 3 { // a client that writes all before it reads
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		size := maxRequestBytes + 1<<20
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size)
		_, sent := conn.Write(make([]byte, size))
		_, _ = fmt.Fprint(conn, "\r\n0\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(sent, err)
		}
		if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), "too large") {
			t.Errorf("%d %s", response.StatusCode, text)
		}
		_ = conn.Close()
	}
}

// stall opens connections that send all of a body but its last byte.
func stall(t *testing.T, address string, n, size int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size+1)
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStalledBodiesMakeRoom(t *testing.T) {
	limits := soon()
	limits.RequestBytes = connectionShare * maxRequestBytes
	l, address := limited(t, limits, readAll)
	stall(t, address, 16, 1<<20-1)
	eventually(t, "the room is full", func() bool { return l.bodies.left() == 0 })
	for _, size := range []int{1, smallBytes, 1 << 20, maxRequestBytes} {
		if status, text := post(t, address, "/", strings.Repeat("x", size)); status != http.StatusOK {
			t.Errorf("a body of %d bytes: %d %s", size, status, text)
		}
	}
}

// Nobody who moves loses its room; small bodies need none.
func TestBodiesHaveRoomTogether(t *testing.T) {
	limits := soon()
	limits.RequestBytes, limits.Patience = connectionShare*maxRequestBytes, 100*time.Millisecond
	release := make(chan struct{})
	var holding atomic.Int64
	l, address := limited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		readAll(w, r)
		if r.URL.Path == "/hold" {
			holding.Add(1)
			<-release
		}
	})
	held := make(chan int, connectionShare)
	for range connectionShare {
		go func() {
			status, _ := post(t, address, "/hold", strings.Repeat("x", maxRequestBytes))
			held <- status
		}()
	}
	eventually(t, "the room is full", func() bool { return holding.Load() == connectionShare && l.bodies.left() == 0 })
	status, text := post(t, address, "/", strings.Repeat("x", smallBytes+1))
	if status != http.StatusTooManyRequests || !strings.Contains(text, "overloaded") {
		t.Errorf("a large body too many: %d %s", status, text)
	}
	if status, text := post(t, address, "/", "small"); status != http.StatusOK {
		t.Errorf("a small body: %d %s", status, text)
	}
	close(release)
	for range connectionShare {
		if status := <-held; status != http.StatusOK {
			t.Error("who had room was answered", status)
		}
	}
	eventually(t, "the room is given back", func() bool { return l.bodies.left() == limits.RequestBytes })
}

// A handler has a buffer in hand while it reads a body, one that another body was unpacked into, perhaps.
func TestACompressedBodyWaitsForRoomBeforeItsHandler(t *testing.T) {
	limits := soon()
	limits.Patience = 50 * time.Millisecond
	var entered atomic.Int32
	l, address := limited(t, limits, func(w http.ResponseWriter, r *http.Request) { entered.Add(1); readAll(w, r) })
	ask := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, strings.NewReader(strings.Repeat("x", 1000)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Encoding", "gzip")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	all := &hold{owner: new(owner), pace: new(pace), yield: func(error) bool { return false }}
	all.pace.busy.Store(1)
	l.bodies.extend(all, l.bodies.size)
	if status := ask(); status != http.StatusTooManyRequests || entered.Load() != 0 {
		t.Errorf("%d, and its handler was entered %d times", status, entered.Load())
	}
	l.bodies.keep(all, 0)
	if status := ask(); status != http.StatusOK || entered.Load() != 1 {
		t.Errorf("%d, and its handler was entered %d times", status, entered.Load())
	}
}

// Who sends more than its share at a time waits, or is told so. It is not taken for a client that keeps others waiting.
func TestManyLargeBodiesOnOneConnectionMove(t *testing.T) {
	_, address := limited(t, Limits{}, readAll)
	said := together(t, address, 64, make([]byte, 1<<20))
	for what := range said {
		if strings.Contains(what, errOverloaded.Error()) || !strings.HasPrefix(what, "200 ") && !strings.HasPrefix(what, "429 ") {
			t.Errorf("64 requests are told %v", said)
		}
	}
	t.Log(said)
}
