package actors

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
)

// A follower that failed is asked ever less often whether it takes its snapshot. Once it is well it need not wait for that.
func TestATransferGoesOnWhenItsFollowerIsWell(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		failed, fails bool
		rests         bool // afterwards, for longer
	}{
		"it is well again":               {true, false, false},
		"it fails still":                 {true, true, true},
		"it is well, but its disk full":  {false, false, true},
		"it fails since it said no last": {false, true, true},
	} {
		transfer := &transfer{failed: c.failed, refusals: 6, rests: now.Add(time.Minute)}
		transfer.hear(c.fails, now)
		if rests := transfer.rests.After(now); rests != c.rests || (transfer.refusals > 0) != c.rests {
			t.Errorf("%s: it rests: %v, after %d refusals", name, rests, transfer.refusals)
		}
	}
	(*transfer)(nil).hear(true, now)
}

// Snapshots that are taken faster than one is sent take away the files of those that wait for their turn. A transfer whose file is gone
// goes on with the newest snapshot, and keeps its turn. One that cannot be opened at all gives its turn to others.
func TestATransferWhoseFileIsGoneKeepsItsTurn(t *testing.T) {
	p := &post{system: silentSystem()}
	r := &replicator{to: "n2", target: actor.NewPID("n2:1", "raft/g"), header: &messages.Header{}, term: 3, mode: locating}
	opened := 0
	r.c = &Config{
		ID: "n1", Group: "g", Clock: &manualClock{now: time.Unix(1000, 0)}, Logger: slog.New(slog.DiscardHandler),
		Shared: Shared{Uplink: actor.NewPID("n1:1", "uplink"), Run: func(func()) { opened++ }},
	}
	r.c.Timing.setDefaults()
	r.c.Limits.setDefaults()
	snapshot := func(n uint64) *messages.Snapshot {
		return &messages.Snapshot{LastIncludedIndex: n, LastIncludedTerm: 2, Bytes: 1 << 20, Digest: []byte{byte(n)}}
	}
	gone := func() []any { return p.mail(r, &fileOpened{of: r.transfer, err: errors.New("the file is gone")}) }

	p.mail(r, &fetched{snapshot: snapshot(1)})
	p.mail(r, &transferBegins{})
	for n := uint64(2); n < 5; n++ {
		if asks := count[*fetch](gone()); asks != 1 {
			t.Fatalf("it asks for the newest snapshot %d times", asks)
		}
		if ends := count[*endBulk](p.mail(r, &fetched{snapshot: snapshot(n)})); ends > 0 || opened != int(n) || r.nextIndex != n+1 {
			t.Fatalf("after %d files were opened it gave its turn away %d times, and goes on at %d", opened, ends, r.nextIndex)
		}
	}
	file := &openFile{}
	if sent := p.mail(r, &fileOpened{of: r.transfer, file: file}); count[*draw](sent) != 1 || r.transfer.file != file {
		t.Fatalf("it does not send: %v", sent)
	}

	r.transfer.file = nil
	gone()
	if ends := count[*endBulk](p.mail(r, &fetched{snapshot: snapshot(4)})); ends != 1 || r.transfer != nil || r.mode != probing {
		t.Fatalf("it goes on with a file that cannot be opened: %v", r.transfer)
	}
}

func count[M any](sent []any) (n int) {
	for _, m := range sent {
		if _, is := m.(M); is {
			n++
		}
	}
	return n
}
