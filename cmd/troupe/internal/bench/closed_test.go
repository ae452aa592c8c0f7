package bench

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// printed is what a result looks like as JSON and as sentences.
func printed(t *testing.T, r result) (asJSON, sentences string) {
	t.Helper()
	var both [2]bytes.Buffer
	for i := range both {
		if err := (Output{Results: &both[i], JSON: i == 0}).print(r); err != nil {
			t.Fatal(err)
		}
	}
	return both[0].String(), both[1].String()
}

func closedReport() *load.Report {
	r := &load.Report{
		Clients: 16, Elapsed: 2 * time.Second, Ops: 4, Errors: 1, FirstError: errors.New("it is\nfull"),
		CPU: time.Second, OthersCPU: 500 * time.Millisecond, Objects: 40, Bytes: 4000, Flushes: 30,
	}
	for range 4 {
		r.Latency.Add(50 * time.Microsecond)
	}
	return r
}

// Programs read these fields; people read the sentences.
func TestClosedIsPrinted(t *testing.T) {
	c := Closed{Workload: Workload{Op: Get, ValueSize: 128}}
	const common = `"p50_us":50,"p99_us":50,"p999_us":50,"max_us":50,"errors":1,"first_error":"it is; full","seconds":2,` +
		`"allocs_per_op":10,"alloc_bytes_per_op":1000,"cpu_us_per_op":250000,"flushes_per_second":15,"other_cores":0.25`
	const begin = `{"op":"get","clients":16,"value_size":128,"operations":4,"ops_per_second":2,`

	line := c.line(closedReport())
	asJSON, sentences := printed(t, line)
	if asJSON != begin+common+"}\n" {
		t.Errorf("%s\nnot\n%s}", asJSON, begin+common)
	}
	if want := "16 clients: 2 get/s, p50 50µs, p99 50µs, p99.9 50µs, 1 errors in 2.0 s\nthe first error: it is; full\n"; sentences != want {
		t.Errorf("%s\nnot\n%s", sentences, want)
	}

	line.Groups, line.Follower, line.note = 3, &followerJSON{ID: "n2", Behind: 7, CaughtS: 1.5}, "the leaders of 2 groups changed"
	asJSON, sentences = printed(t, line)
	if want := begin + common + `,"groups":3,"follower":{"id":"n2","entries_behind":7,"caught_up_s":1.5}}` + "\n"; asJSON != want {
		t.Errorf("%s\nnot\n%s", asJSON, want)
	}
	if !strings.HasSuffix(sentences, "\nthe leaders of 2 groups changed\nn2 came late, with 7 entries to catch up: that took 1.50 s\n") {
		t.Error(sentences)
	}
}

// When nothing was done, each field is there all the same, and a number.
func TestClosedIsPrintedWithoutOperations(t *testing.T) {
	asJSON, _ := printed(t, Closed{Workload: Workload{Op: Put}}.line(&load.Report{Clients: 1, Elapsed: time.Second}))
	want := `{"op":"put","clients":1,"value_size":0,"operations":0,"ops_per_second":0,"p50_us":0,"p99_us":0,"p999_us":0,"max_us":0,` +
		`"errors":0,"first_error":"","seconds":1,"allocs_per_op":0,"alloc_bytes_per_op":0,"cpu_us_per_op":0,"flushes_per_second":0,` +
		`"other_cores":0}` + "\n"
	if asJSON != want {
		t.Errorf("%s\nnot\n%s", asJSON, want)
	}
}
