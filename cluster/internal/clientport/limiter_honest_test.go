package clientport

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

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

// An answer is a little longer than what its handler asked for, and many fill a connection's share exactly.
func TestManyLargeAnswersOnOneConnectionArrive(t *testing.T) {
	_, address := limited(t, Limits{}, func(w http.ResponseWriter, r *http.Request) {
		if MakeRoom(r.Context(), 1<<20) == nil {
			_, _ = w.Write(make([]byte, 1<<20+100))
		}
	})
	if said := together(t, address, 64, nil); said["200 <nil>"] != 64 {
		t.Errorf("64 requests are told %v", said)
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

// A hold that was asked to yield while it was the node that it waited for is asked again.
func TestWhoCouldNotBeAskedIsAskedAgain(t *testing.T) {
	r := newRoom(1, 1, time.Millisecond)
	asked := 0
	first := hold{owner: new(owner), pace: new(pace)}
	first.yield = func(error) bool {
		if asked++; asked == 1 {
			return false
		}
		r.keep(&first, 0)
		return true
	}
	second := hold{owner: new(owner), pace: new(pace)}
	if !r.take(t.Context(), &first, 1, 0) || !r.take(t.Context(), &second, 1, 10*time.Second) {
		t.Errorf("it was asked %d times", asked)
	}
}
