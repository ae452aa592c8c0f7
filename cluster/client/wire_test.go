package client

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
)

// What is written and read by hand is what the generated code reads and writes.
func TestCallsAreThoseOfTheProtocol(t *testing.T) {
	id := messages.SessionID{Index: 3, Nonce: 4}
	command := messages.SessionCommand{Session: id, Serial: 900, Lowest: 7}
	how := Read{Consistency: actors.Bounded, MaxStaleness: 1500 * time.Millisecond, MinIndex: 1 << 40}
	inner := &messages.SessionSerial{Id: id.Bytes(), Serial: 900, Lowest: 7}
	for _, c := range []struct {
		name string
		call *call
		want *messages.Call
	}{
		{
			"submit", newCall(submitCall, encodeSubmit("g", []byte("set"), &command)),
			&messages.Call{Call: &messages.Call_Submit{Submit: &messages.SubmitRequest{
				Group: "g", Command: []byte("set"), Session: inner,
			}}},
		},
		{
			"submit once", newCall(submitCall, encodeSubmit("", nil, nil)),
			&messages.Call{Call: &messages.Call_Submit{Submit: &messages.SubmitRequest{}}},
		},
		{
			"query", newCall(queryCall, encodeQuery("g", how, []byte("get"))),
			&messages.Call{Call: &messages.Call_Query{Query: &messages.QueryRequest{
				Group: "g", Query: []byte("get"), Consistency: messages.Consistency_BOUNDED, MaxStalenessMs: 1500, MinIndex: 1 << 40,
			}}},
		},
		{
			"open", newCall(openCall, encodeOpen("g", 1<<63)),
			&messages.Call{Call: &messages.Call_Open{Open: &messages.OpenRequest{Group: "g", Nonce: 1 << 63}}},
		},
		{
			"close", newCall(closeCall, encodeClose("g", id)),
			&messages.Call{Call: &messages.Call_Close{Close: &messages.CloseRequest{Group: "g", Session: id.Bytes()}}},
		},
	} {
		c.call.id, c.call.timeoutMs = 300, 5000
		c.want.Id, c.want.TimeoutMs = 300, 5000
		got := &messages.ExchangeRequest{}
		if err := proto.Unmarshal(c.call.append(nil), got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := (&messages.ExchangeRequest{Calls: []*messages.Call{c.want}}); !proto.Equal(got, want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAnswersAreThoseOfTheProtocol(t *testing.T) {
	refused := &messages.CallAnswer{Id: 1, Answer: &messages.CallAnswer_Error{Error: &messages.CallError{Code: "aborted", Message: "no"}}}
	opened := &messages.CallAnswer{Id: 1 << 50, Answer: &messages.CallAnswer_Opened{Opened: &messages.OpenResponse{Window: 9}}}
	large := bytes.Repeat([]byte("x"), 5000)
	encoded, err := proto.Marshal(&messages.ExchangeResponse{
		Credit: 64, Pong: 1, Leader: proto.String("a:1"),
		Answers: []*messages.CallAnswer{
			{Id: 5, Answer: &messages.CallAnswer_Submitted{Submitted: &messages.SubmitResponse{Index: 77, Value: []byte("v")}}},
			{Id: 6, Answer: &messages.CallAnswer_Queried{Queried: &messages.QueryResponse{Value: large}}},
			{Id: 7, Answer: &messages.CallAnswer_Queried{Queried: &messages.QueryResponse{}}},
			refused, opened,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var m inbound
	if err := (inboundCodec{}).Unmarshal(encoded, &m); err != nil {
		t.Fatal(err)
	}
	if m.credit != 64 || m.leader != "a:1" || !m.named || len(m.answers) != 5 {
		t.Fatalf("%+v", m)
	}
	clear(encoded) // it is Connect's
	a := m.answers
	if a[0].id != 5 || a[0].result.Index != 77 || string(a[0].result.Value) != "v" || a[1].id != 6 ||
		!bytes.Equal(a[1].result.Value, large) || a[2].id != 7 || a[2].other != nil || a[2].result.Index != 0 {
		t.Errorf("%+v", a[:3])
	}
	if !proto.Equal(a[3].other, refused) || !proto.Equal(a[4].other, opened) || a[4].id != 1<<50 {
		t.Errorf("%+v", a[3:])
	}
}

// A server may send anything.
func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	whole, err := proto.Marshal(&messages.ExchangeResponse{Answers: []*messages.CallAnswer{
		{Id: 5, Answer: &messages.CallAnswer_Submitted{Submitted: &messages.SubmitResponse{Index: 77, Value: []byte("value")}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(whole); cut++ {
		if err := (inboundCodec{}).Unmarshal(whole[:cut], &inbound{}); err == nil {
			t.Errorf("%d bytes of %d were taken", cut, len(whole))
		}
	}
	for range 20_000 {
		b := bytes.Clone(whole)
		for range 1 + rand.N(3) {
			b[rand.N(len(b))] = byte(rand.N(256))
		}
		_ = inboundCodec{}.Unmarshal(b, &inbound{})
	}
}

// A server that answers a call before it has it does not end it: the call is used again then, while it is still being encoded.
func TestACallThatIsNotSentHasNoAnswer(t *testing.T) {
	x := &stream{server: newServer("127.0.0.1:1", "http", nil), wake: make(chan struct{}, 1), pending: map[uint64]*call{}, credit: 1}
	c := newCall(queryCall, nil)
	x.queue = []*call{c}
	early := &inbound{answers: []answered{{id: 1}}}
	calls, _ := x.take(nil)
	if x.receive(early); c.told {
		t.Fatal("a call that is being encoded has an answer")
	}
	x.queue, x.credit = calls, 2
	delete(x.pending, c.id)
	(&outbound{stream: x}).next()
	if x.receive(&inbound{answers: []answered{{id: c.id}}}); !c.told {
		t.Fatal("a call that was sent has none")
	}
}
