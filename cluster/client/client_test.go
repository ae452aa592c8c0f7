package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

func TestFollowsTheLeaderHint(t *testing.T) {
	leader := listen(t, &fake{})
	follower := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, notLeader(leader.address)
	}})
	c := connected(t, follower.address)
	for range 3 {
		version, err := c.Put(within(t, 5*time.Second), "k", []byte("v"))
		if err != nil || version != 1 {
			t.Fatalf("put: version %d, error %v", version, err)
		}
	}
	if n := follower.putCount(); n != 1 {
		t.Errorf("the follower was asked %d times, want once: the client should stay with the leader", n)
	}
}

func TestTwoServersThatPointToEachOtherAreNotHammered(t *testing.T) {
	var a, b *fake
	a = listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, notLeader(b.address)
	}})
	b = listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, notLeader(a.address)
	}})
	_, err := connected(t, a.address, b.address).Put(within(t, 500*time.Millisecond), "k", nil)
	if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want unavailable", err)
	}
	if n := a.putCount() + b.putCount(); n > 100 {
		t.Errorf("%d tries in half a second", n)
	}
}

func TestDeadEndpointsAreSkipped(t *testing.T) {
	leader := listen(t, &fake{})
	for name, dead := range map[string]string{"refused": refusedAddress(t), "silent": silentAddress(t)} {
		t.Run(name, func(t *testing.T) {
			c := connected(t, dead, leader.address)
			start := time.Now()
			if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
				t.Fatalf("put: %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("the put took %v", took)
			}
			c = connected(t, dead, leader.address)
			if _, _, _, err := c.Get(within(t, 5*time.Second), "k"); err != nil {
				t.Fatalf("get: %v", err)
			}
			if _, err := connected(t, dead, leader.address).Status(within(t, 5*time.Second)); err != nil {
				t.Fatalf("status: %v", err)
			}
		})
	}
}

// Without a session a write may take effect twice when it is repeated.
func TestWriteThatMayHaveHappenedIsNotRepeated(t *testing.T) {
	other := listen(t, &fake{})
	cases := map[string]func(context.Context, *messages.PutRequest) (*messages.PutResponse, error){
		"said so": func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			return nil, withDetail(connect.CodeAborted, "who knows", &messages.OutcomeUnknown{})
		},
		"no answer": func(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"connection lost": func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			return nil, errCut
		},
		"internal": func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			return nil, connect.NewError(connect.CodeInternal, errors.New("oops"))
		},
	}
	for name, put := range cases {
		t.Run(name, func(t *testing.T) {
			s := listen(t, &fake{put: put})
			before := other.putCount()
			c := closed(t, client.New([]string{s.address, other.address}, client.AtMostOnce()))
			_, err := c.Put(within(t, 700*time.Millisecond), "k", nil)
			if !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Fatalf("error %v, want outcome unknown", err)
			}
			if s.putCount() != 1 || other.putCount() != before {
				t.Errorf("the write was sent %d times here and %d times elsewhere", s.putCount(), other.putCount()-before)
			}
		})
	}
}

func TestDefiniteRefusalsAreRepeated(t *testing.T) {
	for _, code := range []connect.Code{connect.CodeUnavailable, connect.CodeResourceExhausted} {
		t.Run(code.String(), func(t *testing.T) {
			var once sync.Once
			s := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
				var err error
				once.Do(func() { err = connect.NewError(code, errors.New("not now")) })
				if err != nil {
					return nil, err
				}
				return &messages.PutResponse{Version: 7}, nil
			}})
			version, err := connected(t, s.address).Put(within(t, 5*time.Second), "k", nil)
			if err != nil || version != 7 {
				t.Fatalf("version %d, error %v", version, err)
			}
		})
	}
}

// What a state machine says to a query that it cannot answer is final, whatever it is.
func TestARefusedQueryFailsAtOnce(t *testing.T) {
	s := listen(t, &fake{get: func(context.Context, *messages.GetRequest) (*messages.GetResponse, error) {
		return nil, connect.NewError(connect.CodeUnknown, errors.New("there is no such account"))
	}})
	_, _, _, err := connected(t, s.address).Get(within(t, 5*time.Second), "k")
	if !errors.Is(err, client.ErrInvalid) || err.Error() != "there is no such account" {
		t.Errorf("error %v, want the state machine's words", err)
	}
}

func TestInvalidRequestsFailAtOnce(t *testing.T) {
	s := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the value is no good"))
	}})
	_, err := connected(t, s.address).Put(within(t, 5*time.Second), "k", nil)
	if !errors.Is(err, client.ErrInvalid) || err.Error() != "the value is no good" {
		t.Fatalf("error %v, want the server's words", err)
	}
	if s.putCount() != 1 {
		t.Errorf("sent %d times", s.putCount())
	}
	_, err = connected(t, s.address).Put(within(t, 5*time.Second), "k\xff", nil)
	if !errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a key that cannot be sent: %v", err)
	}
}

func TestSlowReadSucceedsInTheEnd(t *testing.T) {
	s := listen(t, &fake{get: func(ctx context.Context, _ *messages.GetRequest) (*messages.GetResponse, error) {
		select {
		case <-time.After(700 * time.Millisecond): // longer than the first try of a read
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &messages.GetResponse{Found: true, Value: []byte("v"), Version: 3}, nil
	}})
	value, version, found, err := connected(t, s.address).Get(within(t, 10*time.Second), "k")
	if err != nil || !found || string(value) != "v" || version != 3 {
		t.Fatalf("%q %d %v %v", value, version, found, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := connected(t, refusedAddress(t), refusedAddress(t))
	_, err := c.Put(within(t, 400*time.Millisecond), "k", nil)
	if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatalf("error %v, want unavailable: nothing was sent", err)
	}
	if !strings.Contains(err.Error(), "nobody listens there") {
		t.Errorf("the error does not say why: %v", err)
	}
	if _, err = c.Status(within(t, 300*time.Millisecond)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("status: %v, want unavailable", err)
	}
}

func TestSilentServerIsNotSentAWrite(t *testing.T) {
	_, err := connected(t, silentAddress(t)).Put(within(t, 700*time.Millisecond), "k", nil)
	if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatalf("error %v, want unavailable: a server that does not answer a probe is sent nothing", err)
	}
}

func TestCancelledBeforeTheCall(t *testing.T) {
	s := listen(t, &fake{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := connected(t, s.address).Put(ctx, "k", nil)
	if !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrOutcomeUnknown) || s.putCount() != 0 {
		t.Fatalf("error %v, %d puts", err, s.putCount())
	}
}

func TestMembersAreLearned(t *testing.T) {
	second := listen(t, &fake{})
	told := make(chan struct{}, 100)
	dead := false
	var mu sync.Mutex
	first := listen(t, &fake{
		put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			if dead {
				return nil, connect.NewError(connect.CodeUnavailable, errors.New("storage failed"))
			}
			return &messages.PutResponse{Version: 1}, nil
		},
		status: func(_ context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
			if !r.GetLocal() {
				told <- struct{}{}
			}
			return &messages.StatusResponse{Members: []*messages.MemberStatus{{Id: "n2", ClientAddress: second.address}}}, nil
		},
	})
	c := connected(t, first.address)
	for range 2 {
		if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		t.Fatal("the client did not ask for the members")
	}
	mu.Lock()
	dead = true
	mu.Unlock()
	if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
		t.Fatalf("the second node should have taken over: %v", err)
	}
	if second.putCount() == 0 {
		t.Error("the second node was not asked")
	}
}

func TestCompareAndSwapTellsNoneFromEmpty(t *testing.T) {
	c := connected(t, listen(t, &fake{}).address)
	for want, old := range map[uint64][]byte{100: nil, 0: {}, 2: []byte("ab")} {
		if _, got, err := c.CompareAndSwap(within(t, 5*time.Second), "k", old, nil); err != nil || got != want {
			t.Errorf("old value %q arrived as %d, error %v", old, got, err)
		}
	}
}

func TestClosedAndEmptyClients(t *testing.T) {
	if _, err := client.New(nil).Put(within(t, time.Second), "k", nil); !errors.Is(err, client.ErrNoEndpoints) {
		t.Errorf("no endpoints: %v", err)
	}
	c := client.New([]string{"127.0.0.1:1"})
	c.Close()
	if _, _, _, err := c.Get(within(t, time.Second), "k"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestManyCallersShareTheConnection(t *testing.T) {
	s := listen(t, &fake{})
	c := connected(t, s.address)
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			for range 5 {
				if _, err := c.Put(within(t, 20*time.Second), "k", []byte("v")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.puts < 1500 || s.puts > 1500 && s.streams == 1 { // a machine that is busy enough makes the server look silent
		t.Errorf("%d puts arrived on %d streams, want 1500", s.puts, s.streams)
	}
}

func TestSuspectLeaderThatLivesIsAskedAgainSoon(t *testing.T) {
	var once sync.Once
	leader := listen(t, &fake{put: func(ctx context.Context, _ *messages.PutRequest) (*messages.PutResponse, error) {
		slow := false
		once.Do(func() { slow = true })
		if slow {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &messages.PutResponse{Version: 2}, nil
	}})
	follower := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, notLeader(leader.address)
	}})
	c := connected(t, leader.address, follower.address)
	if _, err := c.Put(within(t, 100*time.Millisecond), "k", nil); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Fatalf("the slow put: %v", err)
	}
	start := time.Now()
	if version, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil || version != 2 {
		t.Fatalf("version %d, error %v", version, err)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("the leader was avoided for %v", took)
	}
}

// The client notices at once that a port is a peer port; beside a client port it does no harm.
func TestPeerPorts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peers := grpc.NewServer()
	go func() { _ = peers.Serve(listener) }()
	t.Cleanup(peers.Stop)
	address := listener.Addr().String()

	for what, ask := range map[string]func(*client.Client) error{
		"put":    func(c *client.Client) error { _, err := c.Put(within(t, 10*time.Second), "k", nil); return err },
		"get":    func(c *client.Client) error { _, _, _, err := c.Get(within(t, 10*time.Second), "k"); return err },
		"status": func(c *client.Client) error { _, err := c.Status(within(t, 10*time.Second)); return err },
	} {
		start := time.Now()
		err := ask(connected(t, address))
		if !errors.Is(err, client.ErrInvalid) || !strings.HasPrefix(err.Error(), address+" is a peer port") {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: it took %v to say so", what, took)
		}
		if err := ask(connected(t, address, listen(t, &fake{}).address)); err != nil {
			t.Errorf("%s beside a client port: %v", what, err)
		}
	}
}

func TestWhatAServerSaysTellsMoreThanThatAnotherIsGone(t *testing.T) {
	s := listen(t, &fake{put: func(context.Context, *messages.PutRequest) (*messages.PutResponse, error) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("n3 is not heard"))
	}})
	c := connected(t, s.address, refusedAddress(t))
	for range 5 {
		_, err := c.Put(within(t, 200*time.Millisecond), "k", nil)
		if err == nil || !strings.Contains(err.Error(), "n3 is not heard") {
			t.Fatalf("error %v", err)
		}
	}
}

// A call that a server refuses because it has too much to do comes again when the server wants it to, whatever was refused.
func TestNobodyIsAskedAgainTooSoon(t *testing.T) {
	const pause = 300 * time.Millisecond
	for name, call := range map[string]func(context.Context, *client.Client) error{
		"a stream": func(ctx context.Context, c *client.Client) error { _, err := c.Put(ctx, "k", nil); return err },
		"status":   func(ctx context.Context, c *client.Client) error { _, err := c.Status(ctx); return err },
		"a change": func(ctx context.Context, c *client.Client) error {
			_, err := c.ChangeMember(ctx, &messages.ChangeMemberRequest{})
			return err
		},
	} {
		var mu sync.Mutex
		var refused time.Time
		var early bool
		once := func() error {
			mu.Lock()
			defer mu.Unlock()
			if refused.IsZero() {
				refused = time.Now()
				later := &messages.RetryAfter{Milliseconds: uint32(pause.Milliseconds())}
				return withDetail(connect.CodeResourceExhausted, "too much", later)
			}
			early = early || time.Since(refused) < pause
			return nil
		}
		server := listen(t, &fake{
			refuse: once,
			status: func(context.Context, *messages.StatusRequest) (*messages.StatusResponse, error) {
				return &messages.StatusResponse{}, once()
			},
			change: func(context.Context, *messages.ChangeMemberRequest) (*messages.ChangeMemberResponse, error) {
				return &messages.ChangeMemberResponse{}, once()
			},
		})
		err := call(within(t, 10*time.Second), connected(t, server.address))
		mu.Lock()
		if err != nil || refused.IsZero() || early {
			t.Errorf("%s: %v; refused at %v, asked again too early: %v", name, err, refused, early)
		}
		mu.Unlock()
	}
}

// A server that wants to be left alone for long does not keep a call for any of them from the others.
func TestStatusIsNotKeptByABusyServer(t *testing.T) {
	busy := listen(t, &fake{status: func(context.Context, *messages.StatusRequest) (*messages.StatusResponse, error) {
		return nil, withDetail(connect.CodeResourceExhausted, "too much", &messages.RetryAfter{Milliseconds: 60_000})
	}})
	other := listen(t, &fake{})
	c := connected(t, busy.address, other.address)
	for range 2 {
		if _, err := c.Status(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
	}
}
