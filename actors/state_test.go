package actors

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-raft/troupe/messages"
)

// Entries that share arrays are what they would be in arrays of their own, and none reaches into its neighbour's place.
func TestCommandsShareArrays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stateWith(nil, 3)
		var proposals []proposal
		for range rapid.IntRange(0, 50).Draw(t, "commands") {
			length := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 2*smallEntry)).Draw(t, "length")
			p := proposal{data: bytes.Repeat([]byte{byte(len(proposals))}, length)}
			p.session.Serial = rapid.Uint64().Draw(t, "serial")
			proposals = append(proposals, p)
		}
		time := rapid.Uint64().Draw(t, "time")
		s.appendProposals(proposals, time)
		if s.log.last != uint64(len(proposals)) {
			t.Fatalf("%d commands became %d entries", len(proposals), s.log.last)
		}
		for i, p := range proposals {
			e := s.log.tail[i]
			want := messages.EntryView{Term: 3, Data: p.data, Session: p.session}
			if i == 0 {
				want.Time = time
			}
			if !bytes.Equal(e, want.AppendTo(nil)) || cap(e) != len(e) {
				t.Fatalf("entry %d of %d bytes has %d, and room for %d", i, len(p.data), len(e), cap(e))
			}
		}
	})
}

func TestCommandsAllocateLittle(t *testing.T) {
	proposals := make([]proposal, 1000)
	for i := range proposals {
		proposals[i].data = make([]byte, 100)
	}
	s := stateWith(nil, 3)
	s.outbox = outbox{}
	if n := testing.AllocsPerRun(10, func() { s.appendProposals(proposals, 0) }); n > 10 {
		t.Errorf("1000 commands of 100 bytes take %v allocations", n)
	}
}
