package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/internal/kvwire"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// fake is one node's client port. Its functions may be nil: then it answers like a leader of an empty map.
type fake struct {
	messagesconnect.UnimplementedGroupHandler
	messagesconnect.UnimplementedClusterHandler
	address string
	put     func(context.Context, *messages.PutRequest) (*messages.PutResponse, error)
	get     func(context.Context, *messages.GetRequest) (*messages.GetResponse, error)
	open    func(context.Context, *messages.OpenRequest) (*messages.OpenResponse, error)
	query   func(context.Context, *messages.QueryRequest) (*messages.QueryResponse, error)
	status  func(context.Context, *messages.StatusRequest) (*messages.StatusResponse, error)
	change  func(context.Context, *messages.ChangeMemberRequest) (*messages.ChangeMemberResponse, error)

	snapshot func(context.Context, *messages.SnapshotRequest, *snapshotStream) error
	// refuse is asked before a stream begins: its error is sent instead.
	refuse func() error
	// foreign is asked before any request: true answers it like a peer port.
	foreign func() bool
	// mute is asked before a message is sent: true keeps it back.
	mute func() bool
	// flaky is asked before a command of a session is answered: its error is sent instead of the answer.
	flaky func() error
	// table has what commands of sessions were answered; fakes of one cluster share it. nil: sessions are not looked at.
	table *table
	// window and credit are told to clients, unless they are 0.
	window uint64
	credit uint32
	leader string

	mu      sync.Mutex
	puts    int
	closed  int
	streams int
}

// errCut breaks the stream off instead of an answer.
var errCut = errors.New("cut")

type exchange = connect.BidiStream[messages.ExchangeRequest, messages.ExchangeResponse]

func (f *fake) Exchange(ctx context.Context, stream *exchange) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.streams++
	f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	send := func(m *messages.ExchangeResponse) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil && (f.mute == nil || !f.mute()) {
			_ = stream.Send(m)
		}
	}
	first := &messages.ExchangeResponse{Credit: max(f.credit, 1)}
	if f.credit == 0 {
		first.Credit = 10_000
	}
	if f.leader != "" {
		first.Leader = &f.leader
	}
	send(first)
	var calls sync.WaitGroup
	received := make(chan *messages.ExchangeRequest)
	go func() {
		defer close(received)
		for {
			m, err := stream.Receive()
			if err != nil {
				return
			}
			select {
			case received <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer calls.Wait()
	for {
		select {
		case m := <-received:
			if m == nil {
				cancel()
				return nil
			}
			if m.Ping != 0 {
				send(&messages.ExchangeResponse{Pong: m.Ping})
			}
			for _, c := range m.Calls {
				calls.Go(func() {
					if a := f.answer(ctx, c); a == nil {
						cancel()
					} else {
						send(&messages.ExchangeResponse{Answers: []*messages.CallAnswer{a}})
					}
				})
			}
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// answer is nil when the stream is to break off.
func (f *fake) answer(ctx context.Context, c *messages.Call) *messages.CallAnswer {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.TimeoutMs)*time.Millisecond)
	defer cancel()
	a := &messages.CallAnswer{Id: c.Id}
	var err error
	switch r := c.Call.(type) {
	case *messages.Call_Open:
		var o *messages.OpenResponse
		if f.open != nil {
			o, err = f.open(ctx, r.Open)
		} else {
			o = f.opened(r.Open)
		}
		a.Answer = &messages.CallAnswer_Opened{Opened: o}
	case *messages.Call_Close:
		f.mu.Lock()
		f.closed++
		f.mu.Unlock()
		a.Answer = &messages.CallAnswer_Closed{Closed: &messages.CloseResponse{}}
	case *messages.Call_Submit:
		var value []byte
		value, err = f.submit(ctx, r.Submit)
		a.Answer = &messages.CallAnswer_Submitted{Submitted: &messages.SubmitResponse{Index: 9, Value: value}}
	case *messages.Call_Query:
		var q *messages.QueryResponse
		q, err = f.ask(ctx, r.Query)
		a.Answer = &messages.CallAnswer_Queried{Queried: q}
	}
	if errors.Is(err, errCut) {
		return nil
	}
	if err != nil {
		a.Answer = &messages.CallAnswer_Error{Error: callError(err)}
	}
	return a
}

func (f *fake) opened(r *messages.OpenRequest) *messages.OpenResponse {
	o := &messages.OpenResponse{Session: messages.SessionID{Index: 5, Nonce: r.Nonce}.Bytes(), Window: max(f.window, 1)}
	if f.window == 0 {
		o.Window = 4096
	}
	if f.table != nil {
		f.table.open(string(o.Session))
	}
	return o
}

func callError(err error) *messages.CallError {
	var e *connect.Error
	if !errors.As(err, &e) {
		e = connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	c := &messages.CallError{Code: e.Code().String(), Message: e.Message()}
	for _, d := range e.Details() {
		switch v, _ := d.Value(); v := v.(type) {
		case *messages.NotLeader:
			c.NotLeader = v
		case *messages.OutcomeUnknown:
			c.OutcomeUnknown = v
		case *messages.RetryAfter:
			c.RetryAfter = v
		}
	}
	return c
}

func (f *fake) submit(ctx context.Context, r *messages.SubmitRequest) ([]byte, error) {
	f.mu.Lock()
	f.puts++
	f.mu.Unlock()
	do := func() ([]byte, error) {
		key, rest := r.Command[2:2+r.Command[1]], r.Command[2+r.Command[1]:]
		version := uint64(1)
		switch {
		case r.Command[0] == kvwire.OpCompareAndSwap && rest[0] == kvwire.ExpectAbsent:
			version = 100 // the version tells the test what arrived as the old value
		case r.Command[0] == kvwire.OpCompareAndSwap:
			version = uint64(rest[1])
		case f.put != nil:
			response, err := f.put(ctx, &messages.PutRequest{Key: string(key), Value: rest, Session: r.Session})
			if err != nil {
				return nil, err
			}
			version = response.Version
		}
		return binary.AppendUvarint([]byte{1}, version), nil
	}
	if f.table == nil || r.Session == nil {
		return do()
	}
	if f.flaky != nil {
		if err := f.flaky(); err != nil {
			if err == errCut || connect.CodeOf(err) == connect.CodeAborted { // then it may be done
				_, _ = f.table.once(r.Session, do)
			}
			return nil, err
		}
	}
	return f.table.once(r.Session, do)
}

func (f *fake) ask(ctx context.Context, r *messages.QueryRequest) (*messages.QueryResponse, error) {
	switch {
	case f.query != nil:
		return f.query(ctx, r)
	case f.get == nil:
		return &messages.QueryResponse{Value: []byte{kvwire.AnswerAbsent, 0}}, nil
	}
	g, err := f.get(ctx, &messages.GetRequest{Key: string(r.Query[1:])})
	if err != nil {
		return nil, err
	}
	return &messages.QueryResponse{Value: append(binary.AppendUvarint([]byte{kvwire.AnswerValue}, g.Version), g.Value...)}, nil
}

func (f *fake) Status(ctx context.Context, r *messages.StatusRequest) (*messages.StatusResponse, error) {
	if f.status != nil {
		return f.status(ctx, r)
	}
	return &messages.StatusResponse{}, nil
}

func (f *fake) ChangeMember(ctx context.Context, r *messages.ChangeMemberRequest) (*messages.ChangeMemberResponse, error) {
	return f.change(ctx, r)
}

func (f *fake) Snapshot(ctx context.Context, r *messages.SnapshotRequest, stream *snapshotStream) error {
	return f.snapshot(ctx, r, stream)
}

func (f *fake) putCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.puts
}

func (f *fake) closeCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// table does each command of a session once.
type table struct {
	mu       sync.Mutex
	sessions map[string]map[uint64][]byte
}

func (t *table) open(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil {
		t.sessions = map[string]map[uint64][]byte{}
	}
	if t.sessions[id] == nil {
		t.sessions[id] = map[uint64][]byte{}
	}
}

// forget ends all sessions.
func (t *table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.sessions)
}

func (t *table) once(s *messages.SessionSerial, do func() ([]byte, error)) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answers := t.sessions[string(s.Id)]
	if answers == nil {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("the session is gone"))
	}
	if a := answers[s.Serial]; a != nil {
		return a, nil
	}
	a, err := do()
	if err == nil {
		answers[s.Serial] = a
	}
	return a, err
}

// listen serves f over HTTP/2 without TLS until the test ends.
func listen(t *testing.T, f *fake) *fake {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewGroupHandler(f))
	mux.Handle(messagesconnect.NewClusterHandler(f))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.foreign != nil && f.foreign() {
			w.Header().Set("Content-Type", "application/grpc")
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.address = server.Listener.Addr().String()
	return f
}

func connected(t *testing.T, endpoints ...string) *client.Client {
	return closed(t, client.New(endpoints))
}

// closed closes c when the test ends.
func closed(t *testing.T, c *client.Client) *client.Client {
	t.Cleanup(c.Close)
	return c
}

// within is a context that ends before a stuck test would.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func withDetail(code connect.Code, text string, detail proto.Message) error {
	e := connect.NewError(code, errors.New(text))
	d, err := connect.NewErrorDetail(detail)
	if err != nil {
		return err
	}
	e.AddDetail(d)
	return e
}

func notLeader(address string) error {
	return withDetail(connect.CodeFailedPrecondition, "not leader", &messages.NotLeader{LeaderId: "x", ClientAddress: address})
}

// refusedAddress is one where nobody listens.
func refusedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentAddress accepts connections and never answers, like a stopped process.
func silentAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
