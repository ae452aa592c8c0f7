package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

type putFunc = func(context.Context, *messages.PutRequest) (*messages.PutResponse, error)

// Answers are lost with their streams, and servers refuse or do not know: each write takes effect once, and is answered with its own
// version.
func TestWritesOfASessionTakeEffectOnce(t *testing.T) {
	shared := &table{}
	var mu sync.Mutex
	times := map[string]int{}
	apply := func(_ context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		times[r.Key]++
		return &messages.PutResponse{Version: uint64(times[r.Key])}, nil
	}
	var addresses []string
	for range 3 {
		f := &fake{table: shared, put: apply, window: 64}
		f.flaky = func() error {
			switch rand.N(24) {
			case 0:
				return errCut
			case 1:
				return notLeader("")
			case 2:
				return connect.NewError(connect.CodeUnavailable, errors.New("not now"))
			case 3:
				return withDetail(connect.CodeAborted, "who knows", &messages.OutcomeUnknown{})
			}
			return nil
		}
		addresses = append(addresses, listen(t, f).address)
	}
	c := connected(t, addresses...)
	var all sync.WaitGroup
	for caller := range 16 {
		all.Go(func() {
			for i := range 10 {
				if v, err := c.Put(within(t, 60*time.Second), fmt.Sprintf("%d-%d", caller, i), nil); err != nil || v != 1 {
					t.Errorf("version %d, %v", v, err)
					return
				}
			}
		})
	}
	all.Wait()
	if len(times) != 160 {
		t.Errorf("%d keys were written", len(times))
	}
}

// The server's silence is not an answer: the write goes elsewhere, with the same serial.
func TestAServerThatFallsSilentIsGivenUp(t *testing.T) {
	shared := &table{}
	var stuck atomic.Bool
	var places [2]*messages.SessionSerial
	answer := func(_ context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
		places[0] = r.Session
		return &messages.PutResponse{Version: 7}, nil
	}
	first := listen(t, &fake{table: shared, mute: stuck.Load, put: answer})
	second := listen(t, &fake{table: shared, put: func(_ context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, errors.New("it was applied before")
	}})
	c := connected(t, first.address, second.address)
	if _, err := c.Put(within(t, 10*time.Second), "a", nil); err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	if version, err := c.Put(within(t, 10*time.Second), "b", nil); err != nil || version != 7 || places[0].Serial != 2 {
		t.Errorf("version %d, %v, %v", version, err, places[0])
	}
	if second.putCount() != 1 {
		t.Errorf("the second server was asked %d times", second.putCount())
	}
}

// As long as the stream answers pings, a slow server has the time that the caller has.
func TestNothingIsRepeatedOnAStreamThatLives(t *testing.T) {
	slow := func(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
		time.Sleep(1500 * time.Millisecond)
		return &messages.PutResponse{Version: 3}, nil
	}
	s := listen(t, &fake{put: slow})
	if version, err := connected(t, s.address).Put(within(t, 10*time.Second), "k", nil); err != nil || version != 3 || s.putCount() != 1 {
		t.Errorf("version %d, %v, sent %d times", version, err, s.putCount())
	}
}

func TestOnlyAWriteThatMayHaveHappenedIsUnknown(t *testing.T) {
	refuse := func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("not now"))
	}
	wait := func(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var times atomic.Int64
	cutThenRefuse := func(ctx context.Context, r *messages.PutRequest) (*messages.PutResponse, error) {
		if times.Add(1) == 1 {
			return nil, errCut
		}
		return refuse(ctx, r)
	}
	for name, test := range map[string]struct {
		put  putFunc
		want error
		not  error
	}{
		"refused":              {refuse, client.ErrUnavailable, client.ErrOutcomeUnknown},
		"no answer":            {wait, client.ErrOutcomeUnknown, client.ErrUnavailable},
		"cut off, and refused": {cutThenRefuse, client.ErrOutcomeUnknown, client.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connected(t, listen(t, &fake{put: test.put}).address).Put(within(t, 700*time.Millisecond), "k", nil)
			if !errors.Is(err, test.want) || errors.Is(err, test.not) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestASessionThatIsGone(t *testing.T) {
	shared := &table{}
	var lose atomic.Bool
	s := listen(t, &fake{table: shared, flaky: func() error {
		if lose.Swap(false) {
			shared.forget()
			return withDetail(connect.CodeAborted, "who knows", &messages.OutcomeUnknown{})
		}
		return nil
	}})
	c := connected(t, s.address)
	for range 2 {
		if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
			t.Fatalf("a write that only missed its session: %v", err)
		}
		shared.forget()
	}
	if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
		t.Fatal(err)
	}
	lose.Store(true)
	if _, err := c.Put(within(t, 5*time.Second), "k", nil); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a write whose answer was lost with its session: %v", err)
	}
}

func TestSessionsThatCannotBeOpened(t *testing.T) {
	open := func(err error) *client.Client {
		return connected(t, listen(t, &fake{open: func(context.Context, *messages.OpenRequest) (*messages.OpenResponse, error) {
			return nil, err
		}}).address)
	}
	_, err := open(connect.NewError(connect.CodeUnavailable, errors.New("n2 must run a newer troupe first"))).
		Put(within(t, 500*time.Millisecond), "k", nil)
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "n2 must run a newer troupe first") {
		t.Errorf("not ready: %v", err)
	}
	_, err = open(connect.NewError(connect.CodeNotFound, errors.New("there is no group g"))).Submit(within(t, 5*time.Second), "g", nil)
	if !errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("no such group: %v", err)
	}
}

func TestWhatTheStateMachineRefuses(t *testing.T) {
	why := (&actors.RejectedError{Reason: errors.New("never")}).Error()
	for text, rejected := range map[string]bool{why: true, "the command is too large": false} {
		c := connected(t, listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(text))
		}}).address)
		_, err := c.Put(within(t, 5*time.Second), "k", nil)
		if !errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrRejected) != rejected || err.Error() != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := connected(t, listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, connect.NewError(connect.CodeDataLoss, errors.New("it took effect"))
	}}).address)
	if _, err := c.Put(within(t, 5*time.Second), "k", nil); !errors.Is(err, client.ErrAnswerNotKept) {
		t.Errorf("an answer that was not kept: %v", err)
	}
}

func TestOverloadIsObeyed(t *testing.T) {
	var first time.Time
	s := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		if first.IsZero() {
			first = time.Now()
			return nil, withDetail(connect.CodeResourceExhausted, "too much", &messages.RetryAfter{Milliseconds: 300})
		}
		return &messages.PutResponse{Version: uint64(time.Since(first).Milliseconds())}, nil
	}})
	if after, err := connected(t, s.address).Put(within(t, 5*time.Second), "k", nil); err != nil || after < 300 {
		t.Errorf("asked again after %d ms, %v", after, err)
	}
}

// A window and a credit that are smaller than the number of callers only make them wait.
func TestCallersWaitForTheWindowAndForCredit(t *testing.T) {
	var now, most atomic.Int64
	s := listen(t, &fake{window: 4, credit: 3, put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		return &messages.PutResponse{Version: 1}, nil
	}})
	c := connected(t, s.address)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if _, err := c.Put(within(t, 20*time.Second), "k", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() > 3 {
		t.Errorf("%d calls at a time", most.Load())
	}
}

func TestTheLeaderThatAServerNamesIsAskedNext(t *testing.T) {
	leader := listen(t, &fake{})
	follower := listen(t, &fake{leader: leader.address})
	c := connected(t, follower.address)
	for range 3 {
		if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
			t.Fatal(err)
		}
	}
	if leader.putCount() < 2 {
		t.Errorf("the leader was asked %d times", leader.putCount())
	}
}

func TestReadsSayWhatTheyMayMiss(t *testing.T) {
	s := listen(t, &fake{query: func(_ context.Context, r *messages.QueryRequest) (*messages.QueryResponse, error) {
		return &messages.QueryResponse{Index: 12, Value: fmt.Append(nil, r.Group, r.Consistency, r.MaxStalenessMs, r.MinIndex)}, nil
	}})
	how := client.Read{Consistency: actors.Bounded, MaxStaleness: 2 * time.Second, MinIndex: 11}
	r, err := connected(t, s.address).Query(within(t, 5*time.Second), "g", how, []byte("q"))
	if want := fmt.Sprint("g", messages.Consistency_BOUNDED, 2000, 11); err != nil || r.Index != 12 || string(r.Value) != want {
		t.Errorf("%d %q, %v", r.Index, r.Value, err)
	}
}

func TestClosingEndsTheSession(t *testing.T) {
	s := listen(t, &fake{})
	c := client.New([]string{s.address})
	if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(5 * time.Second); s.closeCount() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session was not closed")
		}
	}
	c = client.New([]string{silentAddress(t)})
	_, _ = c.Put(within(t, 100*time.Millisecond), "k", nil)
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("Close took %v", took)
	}
}

// That a command is too large is what one server says of one copy: another, which takes more, may have an earlier copy.
func TestACommandThatIsTooLargeElsewhereMayTakeEffect(t *testing.T) {
	for text, want := range map[string]error{
		"the command is too large":                      client.ErrOutcomeUnknown,
		"the state machine rejected the command: never": client.ErrRejected,
	} {
		var copies atomic.Int32
		server := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			if copies.Add(1) == 1 {
				return nil, withDetail(connect.CodeAborted, "nobody knows", &messages.OutcomeUnknown{})
			}
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(text))
		}})
		_, err := connected(t, server.address).Put(within(t, 10*time.Second), "k", nil)
		if !errors.Is(err, want) || copies.Load() != 2 {
			t.Errorf("%s: after %d copies %v", text, copies.Load(), err)
		}
	}
}
