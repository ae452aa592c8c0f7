package actors

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// sullen is a view that panics when it may not go on.
type sullen struct{}

func (sullen) Close() error { return nil }
func (sullen) WriteTo(w io.Writer) (int64, error) {
	for {
		if _, err := w.Write(make([]byte, 100)); err != nil {
			panic("a view that panics")
		}
	}
}

func newRecording(t *testing.T, view View) (*recording, *persistence.Store) {
	t.Helper()
	store, err := persistence.Open("data", persistence.Options{FS: vfs.NewMem(), NodeID: "n1", Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Group("g", nil); err != nil {
		t.Fatal(err)
	}
	header := &messages.SnapshotHeader{Group: "g", LastIncludedIndex: 3, LastIncludedTerm: 1}
	return &recording{record: &record{number: 1, header: header, view: view, piece: 256}}, store
}

// A view that panics fails its snapshot, and nothing else, when it writes and when it is told to end.
func TestAViewThatPanicsFailsItsSnapshot(t *testing.T) {
	r, store := newRecording(t, sullen{})
	if end := r.step(store); end != nil {
		t.Fatal(end.err)
	}
	r.abort()
	r, store = newRecording(t, viewFunc(func(io.Writer) (int64, error) { panic("at once") }))
	if end := r.step(store); end == nil || end.err == nil || !strings.Contains(end.err.Error(), "at once") {
		t.Fatalf("%+v", end)
	}
	r, store = newRecording(t, viewFunc(func(w io.Writer) (int64, error) { return 0, errors.New("not today") }))
	if end := r.step(store); end == nil || end.err == nil || end.err.Error() != "not today" {
		t.Fatalf("%+v", end)
	}
}

type viewFunc func(io.Writer) (int64, error)

func (f viewFunc) WriteTo(w io.Writer) (int64, error) { return f(w) }
func (f viewFunc) Close() error                       { return nil }

// Snapshots retire with the one that is durable: while its successor is on its way to the disk, the file that is pointed to stays.
func TestWhatRetiresIsOlderThanWhatIsDurable(t *testing.T) {
	s := server{c: &Config{Shared: Shared{Archive: actor.NewPID("n1:1", "archive")}, Number: 7}}
	p := &post{}
	s.ctx = p
	first, second := &messages.Snapshot{LastIncludedIndex: 5}, &messages.Snapshot{LastIncludedIndex: 9}
	s.snapshot = first
	s.holdRetire()
	b := s.outbox.open
	s.outbox.open, s.outbox.writing = nil, b
	s.snapshot = second
	s.holdRetire()
	s.outbox.synced(b)
	if len(p.sent) != 1 || p.sent[0].(*retire).keep != first {
		t.Fatalf("%v", p.sent)
	}
}

// Bulk that a follower will not acknowledge is given back: at once when it says that it takes nothing, after a while when it is silent.
func TestBulkThatIsNotAcknowledgedIsGivenBack(t *testing.T) {
	clock := &manualClock{now: time.Unix(1000, 0)}
	for _, how := range []string{"refused", "silent"} {
		r := &replicator{
			c:  &Config{ID: "n1", Group: "g", Clock: clock, Shared: Shared{Uplink: actor.NewPID("n1:1", "uplink")}},
			to: "n2", target: actor.NewPID("n2:1", "raft/g"), header: &messages.Header{}, term: 3, mode: streaming, nextIndex: 10,
		}
		r.c.Timing.setDefaults()
		r.c.Limits.setDefaults()
		r.c.Logger = slog.New(slog.DiscardHandler)
		r.inflight.push(inflightMessage{9, 1000, true, clock.now})
		p := &post{}
		switch how {
		case "refused":
			header := &messages.Header{Group: "g", From: "n2", To: "n1", StoreId: 2, Term: 3}
			m := &messages.AppendEntriesReply{Header: header, Error: "broken"}
			m.Seal()
			r.reply(p, m)
		case "silent":
			clock.now = clock.now.Add(5 * r.c.Timing.Election)
			r.heartbeat(p)
		}
		given := int64(0)
		for _, m := range p.sent {
			if s, ok := m.(*settle); ok {
				given += s.bytes
			}
		}
		if given != 1000 || r.open() && how == "refused" {
			t.Errorf("%s: %d bytes are given back", how, given)
		}
	}
}

// A transfer that does not move lets others go first.
func TestATransferThatDoesNotMoveLetsOthersGo(t *testing.T) {
	clock := &manualClock{now: time.Unix(1000, 0)}
	u, p := newUplink(clock, 0), &post{}
	c := &Config{ID: "n1", Group: "g", Clock: clock, Shared: Shared{Uplink: p.Self(), Run: func(func()) {}}}
	c.Timing.setDefaults()
	c.Limits.setDefaults()
	deliver := func(from *post) { // what the replicator says to the uplink
		for _, m := range from.sent {
			switch m.(type) {
			case *beginTransfer, *endBulk, *draw, *settle:
				p.message = m
				u.Receive(p)
			}
		}
		from.sent = nil
	}
	slow := make([]*replicator, mostTransfers)
	for i := range slow {
		ctx := &replicatorPost{pid: sender(i)}
		slow[i] = &replicator{c: c, to: "n2", target: actor.NewPID("n2:1", "raft/g"), header: &messages.Header{}}
		slow[i].install(ctx, &messages.Snapshot{LastIncludedIndex: 9, Bytes: 1 << 20})
		deliver(&ctx.post)
		slow[i].transfer.begun, slow[i].transfer.file = true, &openFile{}
	}
	p.sent, p.to = nil, nil
	p.message = &beginTransfer{sender(9)}
	if u.Receive(p); len(p.sent) > 0 {
		t.Fatal("three transfers at a time")
	}
	clock.now = clock.now.Add(2 * c.Timing.Election)
	ctx := &replicatorPost{pid: sender(0)}
	slow[0].pushTransfer(ctx)
	deliver(&ctx.post)
	if len(p.sent) != 1 || p.to[0].Id != sender(9).Id {
		t.Fatalf("the third does not begin: %v", p.to)
	}
	clock.now = clock.now.Add(c.Timing.Heartbeat)
	slow[0].pushTransfer(ctx)
	if deliver(&ctx.post); len(u.waiting) != 1 {
		t.Fatal("the first does not wait for its next turn")
	}
}

// replicatorPost is a post with an address of its own.
type replicatorPost struct {
	post
	pid *actor.PID
}

func (p *replicatorPost) Self() *actor.PID   { return p.pid }
func (p *replicatorPost) Parent() *actor.PID { return actor.NewPID("n1:1", "server") }

// A group begins with a backup only when all founders know snapshots: an older one would begin with nothing.
func TestABackupNeedsFoundersThatKnowSnapshots(t *testing.T) {
	c := &Config{ID: "n1", Group: "g", Members: testMembers(3), Level: messages.Level}
	s, err := newState(c, &messages.Identity{StoreId: 1}, persistence.Recovered{Snapshot: &messages.Snapshot{Digest: []byte("backup")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.peers.all {
		p.level = messages.LevelSnapshots
	}
	if s.cannotFound() != "" {
		t.Errorf("%s is too old", s.cannotFound())
	}
	s.peers.of("n3").level = messages.LevelFirst
	if s.cannotFound() != "n3" {
		t.Errorf("%q is too old", s.cannotFound())
	}
	s.snapshot = nil
	if s.cannotFound() != "" {
		t.Error("a group without a backup needs nobody's level")
	}
}

// endless always has something to reclaim.
type endless struct{ did []string }

func (e *endless) Write(all []*persistence.Batch) error {
	e.did = append(e.did, "write")
	return nil
}
func (e *endless) Reclaimable() bool { return true }
func (e *endless) Reclaim() error {
	e.did = append(e.did, "reclaim")
	return nil
}

// Writes come between the turns in which a journal reclaims what was cut.
func TestWritesComeBetweenTurnsOfReclaiming(t *testing.T) {
	system := silentSystem()
	var work []func()
	store := &endless{}
	same := actor.WithDispatcher(actor.NewSynchronizedDispatcher(100))
	journal, err := startJournal(system.Root, store, func(w func()) { work = append(work, w) }, func(err error) { t.Error(err) }, same)
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		system.Root.Send(journal, &write{&batch{}, actor.NewPID("n1:1", "server")})
		next := work[0]
		work = work[1:]
		next()
	}
	if got := strings.Join(store.did, " "); strings.Contains(got, "reclaim reclaim") || !strings.Contains(got, "write") {
		t.Errorf("it did: %s", got)
	}
}
