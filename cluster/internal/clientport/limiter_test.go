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
	"golang.org/x/net/http2"

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
	server := newServer(l, h, nil)
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

func readAll(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	}
}

// soon are limits that tests reach.
func soon() Limits {
	return Limits{Still: 20 * time.Millisecond, Patience: 5 * time.Second, Slow: time.Minute}
}

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

func (r *room) left() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free
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
	if status, text := post(t, address, "/", strings.Repeat("x", smallBytes+1)); status != http.StatusTooManyRequests || !strings.Contains(text, "overloaded") {
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

func TestOpenRequestsMakeRoom(t *testing.T) {
	limits := soon()
	limits.Requests = 8
	l, address := limited(t, limits, readAll)
	a := dial(t, address, 0)
	said := make(chan map[string]int, 1)
	go func() { said <- a.Drain() }()
	begin(t, a, 100, -1)
	eventually(t, "all places are taken", func() bool { return l.requests.left() <= 0 })
	eventually(t, "a request finds a place", func() bool { status, _ := post(t, address, "/", "x"); return status == http.StatusOK })
	_ = a.Close()
	<-said
	eventually(t, "the places are given back", func() bool { return l.requests.left() == 8 && l.refusals.left() == 8 })
}

func TestRequestsTooManyAreToldSo(t *testing.T) {
	limits := soon()
	limits.Requests = 1
	entered, release := make(chan struct{}), make(chan struct{})
	_, address := limited(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(entered)
			<-release
		}
	})
	held := make(chan int)
	go func() { status, _ := post(t, address, "/hold", ""); held <- status }()
	<-entered
	time.Sleep(2 * limits.Still) // it would be asked to go by now if it were its client that is waited for
	if status, text := post(t, address, "/", ""); status != http.StatusTooManyRequests || !strings.Contains(text, "too many requests") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := post(t, address, "/healthz", ""); status != http.StatusOK {
		t.Errorf("health: %d %s", status, text)
	}
	close(release)
	if status := <-held; status != http.StatusOK {
		t.Error(status)
	}
}

// large answers with as much as its path says, and makes room before if it says so.
func large(made *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := MakeRoom(r.Context(), 1<<20); err != nil {
			http.Error(w, err.Error(), http.StatusTooManyRequests)
			return
		}
		made.Add(1)
		defer made.Add(-1)
		_, _ = w.Write(make([]byte, 1<<20))
	}
}

func TestAnswersThatAreNotReadMakeRoom(t *testing.T) {
	limits := soon()
	limits.AnswerBytes = connectionShare * maxRequestBytes
	var made atomic.Int64
	l, address := limited(t, limits, large(&made))
	for range connectionShare {
		a := dial(t, address, 0)
		go a.Drain()
		begin(t, a, 100, 0)
	}
	eventually(t, "the room is full", func() bool { return l.answers.left() < 1<<20 })
	if n := made.Load(); n > 16 {
		t.Errorf("%d answers of 1 MiB are held in room for 16", n)
	}
	for range 3 {
		if status, text := post(t, address, "/", ""); status != http.StatusOK || len(text) != 1<<20 {
			t.Errorf("who reads gets %d %.100s", status, text)
		}
	}
}

func TestOneConnectionHasItsShareOfAnswers(t *testing.T) {
	limits := soon()
	limits.Still, limits.AnswerBytes = time.Minute, connectionShare*maxRequestBytes
	var made atomic.Int64
	l, address := limited(t, limits, large(&made))
	a := dial(t, address, 0)
	go a.Drain()
	begin(t, a, 100, 0)
	eventually(t, "the connection has its share", func() bool { return made.Load() == maxRequestBytes>>20 })
	if left := l.answers.left(); left != 3*maxRequestBytes {
		t.Errorf("%d bytes are left for others", left)
	}
	if status, _ := post(t, address, "/", ""); status != http.StatusOK {
		t.Error("others find no room:", status)
	}
}

// An answer that nobody made room for takes it when it is written, and is not sent at all when there is none.
func TestAnswersWithoutRoomAreCut(t *testing.T) {
	limits := soon()
	limits.AnswerBytes = connectionShare * maxRequestBytes
	_, address := limited(t, limits, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxRequestBytes+1)) })
	if status, text := post(t, address, "/", ""); status != 0 {
		t.Errorf("%d with %d bytes", status, len(text))
	}
}

func TestSmallAnswersThatAreNotReadAreCounted(t *testing.T) {
	limits := soon()
	limits.Requests, limits.Slow = 8, 300*time.Millisecond
	l, address := limited(t, limits, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
	a := dial(t, address, 0)
	go a.Drain()
	begin(t, a, 8, 0)
	eventually(t, "they hold their places", func() bool { return l.requests.left() == 0 })
	eventually(t, "they lose them", func() bool { return l.requests.left() == 8 })
}

func TestWhoDoesNotReadAtAllLosesItsConnection(t *testing.T) {
	limits := soon()
	limits.Slow = 100 * time.Millisecond
	ended := make(chan error, 1)
	_, address := limited(t, limits, func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	})
	for version, say := range map[string]func(){
		"HTTP/1": func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		},
		"HTTP/2": func() {
			a := dial(t, address, 1<<30)
			_ = a.Frames.WriteWindowUpdate(0, 1<<30)
			begin(t, a, 1, 0)
		},
	} {
		say()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal(version, "its handler still writes")
		}
	}
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

// One read must not keep a processor for long: heartbeats wait behind all connections that have something to read.
func TestAReadIsShort(t *testing.T) {
	limits := soon()
	longest := make(chan int, 1)
	_, address := limited(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		most, b := 0, make([]byte, 1<<20)
		for {
			n, err := r.Body.Read(b)
			if most = max(most, n); err != nil {
				longest <- most
				return
			}
		}
	})
	if status, text := post(t, address, "/", strings.Repeat("x", 1<<20)); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if n := <-longest; n > turnBytes {
		t.Errorf("%d bytes at a time", n)
	}
}

func TestConnectionsTooManyAreHeard(t *testing.T) {
	limits := soon()
	limits.Connections = 4
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	l, address := limited(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			entered <- struct{}{}
			<-release
		}
	})
	for range 4 {
		begin(t, dial(t, address, 1<<16), 10, -1)
	}
	// They do nothing, so that newcomers take their places.
	eventually(t, "a connection finds a place", func() bool { status, _ := post(t, address, "/", ""); return status == http.StatusOK })
	for range 4 {
		eventually(t, "a place is kept", func() bool {
			refused := make(chan string, 1)
			go func() { _, text := post(t, address, "/hold", ""); refused <- text }()
			select {
			case <-entered:
				return true
			case <-refused: // who had the place moved not long ago
				return false
			}
		})
	}
	eventually(t, "all places are taken", func() bool { return l.connections.left() <= 0 })
	time.Sleep(2 * limits.Still)
	for range lobbySize + 10 {
		dial(t, address, 1<<16)
	}
	if status, text := post(t, address, "/", ""); status != http.StatusTooManyRequests || !strings.Contains(text, "too many clients") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := post(t, address, "/healthz", ""); status != http.StatusOK {
		t.Errorf("health: %d %s", status, text)
	}
}

func TestAStreamOfResetsEndsItsConnection(t *testing.T) {
	entered := make(chan struct{})
	_, address := limited(t, soon(), func(w http.ResponseWriter, r *http.Request) { entered <- struct{}{}; readAll(w, r) })
	a := dial(t, address, 1<<16)
	ended := make(chan map[string]int, 1)
	go func() { ended <- a.Drain() }()
	for taken := 0; taken < 20*resetBurst; taken++ {
		stream, err := a.Begin("/", 10)
		if err != nil {
			break
		}
		select {
		case <-entered: // or else it would be the HTTP/2 server itself that drops it
		case <-ended:
			if taken < resetBurst {
				t.Fatalf("%d resets ended the connection", taken)
			}
			return
		}
		if a.Frames.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			break
		}
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection goes on")
	}
}
