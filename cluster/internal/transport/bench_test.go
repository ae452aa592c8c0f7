package transport

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/troupe-raft/troupe/cluster/internal/loopback"
	"github.com/troupe-raft/troupe/messages"
)

// The receiver is another process, which answers every message; a window of them, at most 4 MiB, is on its way.
func BenchmarkAppendEntries(b *testing.B) {
	other := loopback.FreeAddress(b)
	system, tr := start(b, testConfig(b, "127.0.0.1:0", other))
	startChild(b, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(b, system, other, 5*time.Second)
	window := make(chan struct{}, 1024)
	me, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*messages.AppendEntriesReply); ok {
			<-window
		}
	}), "raft/bench")
	if err != nil {
		b.Fatal(err)
	}
	for _, shape := range []struct{ entries, size int }{{0, 0}, {1, 128}, {100, 200}, {20, 1024}, {1, 64 << 10}, {1, 256 << 10}} {
		b.Run(fmt.Sprintf("entries=%d/size=%d", shape.entries, shape.size), func(b *testing.B) {
			m := &messages.AppendEntries{Header: &messages.Header{Group: "g", From: "n1", To: "n2", Term: 3}}
			for range shape.entries {
				m.Entries = append(m.Entries, bytes.Repeat([]byte{1}, shape.size))
			}
			target := actor.NewPID(other, "raft/g")
			total := shape.entries * shape.size
			b.SetBytes(int64(total))
			b.ReportAllocs()
			narrower := 0 // slots taken so that the window holds no more than 4 MiB
			for ; total > 0 && (cap(window)-narrower)*total > 4<<20; narrower++ {
				window <- struct{}{}
			}
			for b.Loop() {
				window <- struct{}{}
				system.Root.RequestWithCustomSender(target, m, me)
			}
			for len(window) > narrower {
				time.Sleep(20 * time.Microsecond)
			}
			for range narrower {
				<-window
			}
		})
	}
	if n := tr.Stats().Dropped[DropQueueFull]; n > 0 {
		b.Errorf("%d messages were dropped", n)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	other := loopback.FreeAddress(b)
	system, tr := start(b, testConfig(b, "127.0.0.1:0", other))
	startChild(b, childSpec{Listen: other, Peers: []string{tr.Address()}})
	askUntilAnswered(b, system, other, 5*time.Second)
	back := make(chan struct{}, 1)
	me, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*messages.RequestVoteReply); ok {
			back <- struct{}{}
		}
	}), "raft/bench")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		system.Root.RequestWithCustomSender(actor.NewPID(other, "raft/g"), &messages.RequestVote{}, me)
		<-back
	}
}
