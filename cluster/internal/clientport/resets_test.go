package clientport

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

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
