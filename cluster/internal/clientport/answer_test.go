package clientport

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// large makes room for an answer of 1 MiB and sends it. It counts those under way in made.
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
		eventually(t, "who reads gets the answer", func() bool { // unless this machine keeps it from reading for so long
			status, text := post(t, address, "/", "")
			return status == http.StatusOK && len(text) == 1<<20
		})
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
