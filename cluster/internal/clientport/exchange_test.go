package clientport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/messages/messagesconnect"
)

// testDoor answers a command and a query with itself, at once; "late" never, "no" and "garbled" with a rejection, "long" by 1 MiB, and
// "longer" by 5 MiB.
type testDoor struct {
	mu      sync.Mutex
	status  actors.Status
	changed chan struct{}
	applied chan struct{}
	index   uint64
	given   []messages.SessionCommand
	reads   []actors.Read
}

var lateAndLong = strings.Repeat("late", maxRequestBytes/8)

func newTestDoor() *testDoor {
	return &testDoor{
		changed: make(chan struct{}), applied: make(chan struct{}), status: actors.Status{ClientAddress: "leader:1", AppliedIndex: 10},
	}
}

func (d *testDoor) answer(b []byte, caller actors.Caller) {
	d.mu.Lock()
	d.index++
	index := d.index
	d.mu.Unlock()
	switch string(b) {
	case "late", lateAndLong:
	case "garbled":
		caller.Answer(actors.Answer{Err: &actors.RejectedError{Reason: errors.New("it has \xff in it")}})
	case "no":
		caller.Answer(actors.Answer{Err: &actors.RejectedError{Reason: errors.New("not today")}})
	case "long":
		caller.Answer(actors.Answer{Index: index, Value: make([]byte, 1<<20)})
	case "longer":
		caller.Answer(actors.Answer{Index: index, Value: make([]byte, 5<<20)})
	default:
		caller.Answer(actors.Answer{Index: index, Value: b})
	}
}

func (d *testDoor) ProposeIn(session messages.SessionCommand, command []byte, caller actors.Caller) {
	d.mu.Lock()
	if session != (messages.SessionCommand{}) {
		d.given = append(d.given, session)
	}
	d.mu.Unlock()
	d.answer(command, caller)
}

func (d *testDoor) OpenSession(nonce uint64, caller actors.Caller) {
	id := messages.SessionID{Index: 7, Nonce: nonce}
	caller.Answer(actors.Answer{Index: 7, Value: append(id.Bytes(), 100)})
}

func (d *testDoor) CloseSession(id messages.SessionID, caller actors.Caller) {
	caller.Answer(actors.Answer{Index: id.Index})
}

func (d *testDoor) Read(read actors.Read, query []byte, caller actors.Caller) {
	d.mu.Lock()
	d.reads = append(d.reads, read)
	d.mu.Unlock()
	d.answer(query, caller)
}

func (d *testDoor) Applied(uint64) (<-chan struct{}, func(), error) { return d.applied, func() {}, nil }

func (d *testDoor) Status() actors.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

func (d *testDoor) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *testDoor) lead(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.ClientAddress = address
	close(d.changed)
	d.changed = make(chan struct{})
}

// testGroup has only a door.
type testGroup struct {
	Group
	door Door
}

func (g testGroup) Door() Door { return g.door }

type exchangeStream = connect.BidiStreamForClientSimple[messages.ExchangeRequest, messages.ExchangeResponse]

func http2Client(t testing.TB) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// exchanging opens a stream to a port with one group, and reads its first message.
func exchanging(t *testing.T, p *Port, credit uint32, options ...connect.ClientOption) *exchangeStream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := messagesconnect.NewGroupClient(http2Client(t), "http://"+p.Address(), options...).Exchange(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(nil); err != nil {
		t.Fatal(err)
	}
	hello, err := stream.Receive()
	if err != nil || hello.Credit != credit || hello.Leader == nil || len(hello.Answers) > 0 {
		t.Fatal(hello, err)
	}
	return stream
}

func servedDoor(t *testing.T, limits Limits) (*testDoor, *Port) {
	t.Helper()
	door := newTestDoor()
	return door, servedWithin(t, &testNode{groups: []string{"g"}, group: testGroup{door: door}}, limits)
}

func callOn(t *testing.T, s *exchangeStream, calls ...*messages.Call) {
	t.Helper()
	if err := s.Send(&messages.ExchangeRequest{Calls: calls}); err != nil {
		t.Fatal(err)
	}
}

func answersTo(t *testing.T, s *exchangeStream, n int) map[uint64]*messages.CallAnswer {
	t.Helper()
	answers := map[uint64]*messages.CallAnswer{}
	for len(answers) < n {
		r, err := s.Receive()
		if err != nil {
			t.Fatal(len(answers), err)
		}
		for _, a := range r.Answers {
			if answers[a.Id] != nil {
				t.Fatalf("call %d was answered twice", a.Id)
			}
			answers[a.Id] = a
		}
	}
	return answers
}

func submit(id uint64, command string) *messages.Call {
	return &messages.Call{Id: id, Call: &messages.Call_Submit{Submit: &messages.SubmitRequest{Command: []byte(command)}}}
}

func query(id uint64, q *messages.QueryRequest) *messages.Call {
	return &messages.Call{Id: id, Call: &messages.Call_Query{Query: q}}
}

func TestExchangeOfAllKindsOfCalls(t *testing.T) {
	id := messages.SessionID{Index: 7, Nonce: 9}
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}, "json": {connect.WithProtoJSON()},
	} {
		t.Run(name, func(t *testing.T) {
			door, p := servedDoor(t, Limits{})
			s := exchanging(t, p, 4096, options...)
			withSession := submit(3, "in session")
			withSession.GetSubmit().Session = &messages.SessionSerial{Id: id.Bytes(), Serial: 5, Lowest: 4}
			unordered := submit(4, "x")
			unordered.GetSubmit().Session = &messages.SessionSerial{Id: id.Bytes(), Serial: 5, Lowest: 6}
			other := submit(5, "x")
			other.GetSubmit().Group = "other"
			callOn(t, s,
				&messages.Call{Id: 1, Call: &messages.Call_Open{Open: &messages.OpenRequest{Nonce: 9}}},
				&messages.Call{Id: 2, Call: &messages.Call_Close{Close: &messages.CloseRequest{Session: id.Bytes()}}},
				withSession, unordered, other,
				query(6, &messages.QueryRequest{Query: []byte("q"), Consistency: messages.Consistency_BOUNDED, MaxStalenessMs: 30}),
				query(7, &messages.QueryRequest{Query: []byte("q"), Consistency: messages.Consistency_BOUNDED}),
				submit(8, "no"), &messages.Call{Id: 9}, submit(10, ""),
				&messages.Call{Id: 11, Call: &messages.Call_Close{Close: &messages.CloseRequest{}}},
			)
			got := answersTo(t, s, 11)
			if o := got[1].GetOpened(); o.GetWindow() != 100 || string(o.GetSession()) != string(id.Bytes()) {
				t.Error(got[1])
			}
			if r := got[3].GetSubmitted(); r.GetIndex() == 0 || string(r.GetValue()) != "in session" {
				t.Error(got[3])
			}
			if got[2].GetClosed() == nil || string(got[6].GetQueried().GetValue()) != "q" || got[10].GetSubmitted().GetIndex() == 0 {
				t.Error(got[2], got[6], got[10])
			}
			for id, code := range map[uint64]string{
				4: "invalid_argument", 5: "not_found", 7: "invalid_argument", 8: "invalid_argument", 9: "invalid_argument",
				11: "invalid_argument",
			} {
				if e := got[id].GetError(); e.GetCode() != code || e.GetMessage() == "" {
					t.Error(got[id])
				}
			}
			if got[5].GetError().NotLeader == nil {
				t.Error("clients take a missing group for a missing session:", got[5])
			}
			if fmt.Sprint(door.given) != fmt.Sprint([]messages.SessionCommand{{Session: id, Serial: 5, Lowest: 4}}) {
				t.Error(door.given)
			}
			if door.reads[0] != (actors.Read{Consistency: actors.Bounded, MaxStaleness: 30 * time.Millisecond}) {
				t.Error(door.reads)
			}
			if err := s.CloseRequest(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Receive(); err == nil || connect.CodeOf(err) != connect.CodeUnknown {
				t.Fatal("a stream without calls does not end with its client's half:", err)
			}
		})
	}
}

func TestExchangeAnswersPingsAndNamesLeaders(t *testing.T) {
	door, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	callOn(t, s, submit(1, "late"))
	if err := s.Send(&messages.ExchangeRequest{Ping: 77}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Receive(); err != nil || r.Pong != 77 || r.Leader != nil {
		t.Fatal(r, err)
	}
	for _, leader := range []string{"other:2", ""} {
		door.lead(leader)
		if r, err := s.Receive(); err != nil || r.Leader == nil || *r.Leader != leader {
			t.Fatal(r, err)
		}
	}
}

func TestExchangeExpiresCalls(t *testing.T) {
	door, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	command, behind := submit(1, "late"), query(3, &messages.QueryRequest{Query: []byte("q"), MinIndex: 99})
	read, patient := query(2, &messages.QueryRequest{Query: []byte("late")}), query(4, &messages.QueryRequest{MinIndex: 11})
	command.TimeoutMs, behind.TimeoutMs, read.TimeoutMs = 30, 30, 30
	callOn(t, s, command, read, behind, patient)
	got := answersTo(t, s, 3)
	if e := got[1].GetError(); e.GetCode() != "aborted" || e.GetOutcomeUnknown() == nil {
		t.Error(got[1])
	}
	if e := got[2].GetError(); e.GetCode() != "deadline_exceeded" {
		t.Error(got[2])
	}
	if e := got[3].GetError(); e.GetCode() != "deadline_exceeded" || !contains(e.GetMessage(), "up to entry 10, not yet to 99") {
		t.Error(got[3])
	}
	close(door.applied)
	if got := answersTo(t, s, 1); got[4].GetQueried() == nil {
		t.Error(got)
	}
}

func TestExchangeEndsWithItsCreditAndWithGarbage(t *testing.T) {
	_, p := servedDoor(t, Limits{Calls: 3})
	s := exchanging(t, p, 3)
	callOn(t, s, submit(1, "late"), submit(2, "late"), submit(3, "a"))
	answersTo(t, s, 1)
	callOn(t, s, submit(4, "b"))
	answersTo(t, s, 1)
	callOn(t, s, submit(5, "c"), submit(6, "d"))
	if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Fatal(err)
	}
	for name, garbage := range map[string][]byte{"half a field": {0x0a, 0x7f}, "no tag": {0xff}} {
		if _, _, ok := survey(garbage); ok {
			t.Error(name, "is taken for a message")
		}
	}
}
