package clientport

import (
	"testing"

	"github.com/troupe-raft/troupe/messages"
)

// Who does not read for a while gets what found room, and the rest is refused: the stream goes on.
func TestExchangeWhoseAnswersAreNotRead(t *testing.T) {
	_, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	const calls = 60
	for id := range uint64(calls) {
		q := "long"
		if id == 1 {
			q = "longer" // while it is sent, the others take all room
		}
		callOn(t, s, query(id+1, &messages.QueryRequest{Query: []byte(q)}))
	}
	if err := s.Send(&messages.ExchangeRequest{Ping: 5}); err != nil {
		t.Fatal(err)
	}
	values := 0
	for _, a := range answersTo(t, s, calls) {
		switch e := a.GetError(); {
		case len(a.GetQueried().GetValue()) >= 1<<20:
			values++
		case e.GetCode() != "resource_exhausted" || e.GetRetryAfter() == nil:
			t.Error(e)
		}
	}
	if values < 8 || values == calls {
		t.Errorf("%d of %d answers found room", values, calls)
	}
	callOn(t, s, query(1000, &messages.QueryRequest{Query: []byte("long")}))
	if a := answersTo(t, s, 1)[1000]; len(a.GetQueried().GetValue()) != 1<<20 {
		t.Error("there is no room again:", a.GetError())
	}
}

func TestExchangeOfATextThatIsNoText(t *testing.T) {
	_, p := servedDoor(t, Limits{})
	s := exchanging(t, p, 4096)
	callOn(t, s, submit(1, "a"), submit(2, "garbled"), submit(3, "b"))
	got := answersTo(t, s, 3)
	if e := got[2].GetError(); e.GetCode() != "invalid_argument" || !contains(e.GetMessage(), "it has \uFFFD in it") {
		t.Error(got[2])
	}
	if string(got[1].GetSubmitted().GetValue()) != "a" || string(got[3].GetSubmitted().GetValue()) != "b" {
		t.Error(got)
	}
}
