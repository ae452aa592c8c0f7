package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/messages"
)

func TestACommandOfASessionTakesEffectOnce(t *testing.T) {
	if !alone(t) {
		return
	}
	_, group := single(t, t.TempDir(), kv.NewMap())
	eventually(t, "the node leads", func() bool { return leads(group) })
	opened, err := group.OpenSession(noContext, 7)
	if err != nil || opened.Window == 0 {
		t.Fatal(opened, err)
	}
	if again, err := group.OpenSession(t.Context(), 7); err != nil || again != opened {
		t.Fatalf("%v, then %v %v", opened, again, err)
	}
	put := []byte("\x01\x01kv") // the map's encoding: a put of "v" to "k"
	session := messages.SessionCommand{Session: opened.ID, Serial: 1, Lowest: 1}
	first, err := group.Submit(noContext, session, put)
	if err != nil {
		t.Fatal(err)
	}
	second, err := group.Submit(t.Context(), session, put)
	if err != nil || string(second.Value) != string(first.Value) {
		t.Fatalf("%q, then %q %v", first.Value, second.Value, err)
	}
	if _, version, _, err := kv.Open(group).Get(t.Context(), "k"); version != 1 || err != nil {
		t.Fatalf("the command took effect %d times (%v)", version, err)
	}
	session.Serial = 0
	if _, err := group.Submit(t.Context(), session, put); !errors.Is(err, messages.ErrMalformedSession) {
		t.Fatal(err)
	}
	if err := group.CloseSession(t.Context(), opened.ID); err != nil {
		t.Fatal(err)
	}
	session.Serial = 2
	if _, err := group.Submit(t.Context(), session, put); !errors.Is(err, actors.ErrSessionGone) {
		t.Fatal(err)
	}
}

func TestQueryWaitsForItsIndex(t *testing.T) {
	if !alone(t) {
		return
	}
	_, group := single(t, t.TempDir(), echo{})
	eventually(t, "the node leads", func() bool { return leads(group) })
	written, err := group.Propose(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	stale := cluster.ReadOptions{Read: actors.Read{Consistency: actors.Stale}}
	for _, options := range []cluster.ReadOptions{{MinIndex: written.Index}, stale} {
		if r, err := group.Query(noContext, options, []byte("q")); err != nil || string(r.Value) != "q" || r.Index < written.Index {
			t.Fatal(r, err)
		}
	}
	stale.MinIndex = written.Index + 2
	got := make(chan error, 1)
	go func() {
		r, err := group.Query(t.Context(), stale, []byte("q"))
		if err == nil && r.Index < stale.MinIndex {
			err = errors.New("the answer is older than the index that was asked for")
		}
		got <- err
	}()
	for range 2 {
		select {
		case err := <-got:
			t.Fatal("answered too early:", err)
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := group.Propose(t.Context(), []byte("b")); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	stale.MinIndex += 100
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = group.Query(short, stale, []byte("q"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	mustContain(t, err, "has applied the log up to entry")
}

// As many commands wait for room in their node's session as the group admits. Those beyond are refused at once.
func TestCommandsThatWaitForTheirSessionAreBounded(t *testing.T) {
	if !alone(t) {
		return
	}
	release := make(chan struct{})
	bounded := func(c *cluster.Config) { c.Limits.AdmittedCommands, c.Limits.Sessions.Window = 6, 4 }
	_, group := singleAs(t, t.TempDir(), echo{release}, bounded)
	eventually(t, "the node leads", func() bool { return leads(group) })
	if _, err := group.Propose(t.Context(), []byte("a")); err != nil { // a session is open
		t.Fatal(err)
	}
	const window, waiting, beyond = 4, 6, 20
	errs := make(chan error, window+waiting+beyond)
	for range cap(errs) {
		go func() {
			_, err := group.Propose(t.Context(), []byte("slow"))
			errs <- err
		}()
	}
	for range beyond {
		if err := <-errs; !errors.Is(err, actors.ErrOverloaded) {
			t.Error(err)
		}
	}
	if len(errs) > 0 {
		t.Errorf("%d more are answered: %v", len(errs), <-errs)
	}
	close(release)
	for range window + waiting {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
