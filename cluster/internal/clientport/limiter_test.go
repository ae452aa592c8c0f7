package clientport

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

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
