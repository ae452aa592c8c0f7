package clientport

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
