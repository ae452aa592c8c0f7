package clientport

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

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
