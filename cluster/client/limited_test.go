package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

// A call whose context has no deadline ends all the same, and its late answer is no other call's.
func TestTimeoutOfCallsWithoutDeadline(t *testing.T) {
	answer := make(chan struct{})
	server := listen(t, &fake{
		put: func(_ context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
			if r.Key == "slow" {
				<-answer
				return &messages.PutResponse{Version: 1}, nil
			}
			return &messages.PutResponse{Version: 2}, nil
		},
	})
	c := client.New([]string{server.address}, client.Timeout(200*time.Millisecond))
	t.Cleanup(c.Close)
	begin := time.Now()
	for range 50 {
		if _, err := c.Put(context.Background(), "quick", nil); err != nil { // a session, and a stream, that are open
			t.Fatal(err)
		}
	}
	_, err := c.Put(context.Background(), "slow", nil)
	if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if d := time.Since(begin); d < 200*time.Millisecond || d > 5*time.Second {
		t.Error("it ended after", d)
	}
	close(answer)
	for range 50 {
		if version, err := c.Put(context.Background(), "quick", nil); err != nil || version != 2 {
			t.Fatal(version, err)
		}
	}
}

// A call whose time is over before it is sent is not sent.
func TestACallIsNotSentAfterItsTime(t *testing.T) {
	server := listen(t, &fake{})
	c := client.New([]string{server.address}, client.Timeout(time.Nanosecond))
	t.Cleanup(c.Close)
	if _, _, _, err := c.Get(within(t, 5*time.Second), "k"); err != nil { // a stream that is open
		t.Fatal(err)
	}
	if _, _, _, err := c.Get(context.Background(), "k"); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
}

// overdue is a context whose deadline has passed, and whose timer has not noticed yet.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Microsecond), true }

// That time was up before a call was sent says nothing about the server, which is asked again.
func TestACallThatIsTooLateSaysNothingOfTheServer(t *testing.T) {
	first, second := listen(t, &fake{}), listen(t, &fake{})
	c := connected(t, first.address, second.address)
	for range 2 {
		if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(overdue{context.Background()}, "k", nil); !errors.Is(err, client.ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := second.putCount(); n != 0 {
		t.Errorf("the second server was asked %d times", n)
	}
}
