package client_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/messages"
)

// While this client can speak to no server, for example because certificates are old, a write of which a copy left is unknown. None of them
// holds up the session afterwards.
func TestWritesWhileNoServerCanBeSpokenTo(t *testing.T) {
	var foreign, cut atomic.Bool
	s := listen(t, &fake{table: &table{}, window: 4, foreign: foreign.Load, flaky: func() error {
		if !cut.Swap(false) {
			return nil
		}
		foreign.Store(true)
		return errCut
	}})
	c := connected(t, s.address)
	put := func() error { _, err := c.Put(within(t, 5*time.Second), "k", nil); return err }
	if err := put(); err != nil {
		t.Fatal(err)
	}
	cut.Store(true)
	if err := put(); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a write that took effect: %v", err)
	}
	for range 8 {
		if err := put(); !errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("a write that was not sent: %v", err)
		}
	}
	foreign.Store(false)
	for range 8 {
		if err := put(); err != nil {
			t.Fatalf("afterwards: %v", err)
		}
	}
}

// A node that restarts has no groups, or not all of them, for a while: that says nothing of a group's sessions.
func TestANodeWithoutTheGroup(t *testing.T) {
	none := func() error {
		return withDetail(connect.CodeNotFound, "there is no group g on this node", &messages.NotLeader{})
	}
	without := func() *fake {
		return listen(t, &fake{
			table: &table{}, flaky: none,
			open:  func(context.Context, *messages.OpenRequest) (*messages.OpenResponse, error) { return nil, none() },
			query: func(context.Context, *messages.QueryRequest) (*messages.QueryResponse, error) { return nil, none() },
		})
	}
	var cut atomic.Bool
	member := listen(t, &fake{table: &table{}, flaky: func() error {
		if cut.Swap(false) {
			return errCut
		}
		return nil
	}})
	c := connected(t, without().address, member.address)
	if _, err := c.Query(within(t, 5*time.Second), "g", client.Read{}, []byte{0}); err != nil {
		t.Errorf("a query: %v", err)
	}
	for range 2 {
		if _, err := c.Put(within(t, 5*time.Second), "k", nil); err != nil {
			t.Fatalf("a write: %v", err)
		}
		cut.Store(true) // then the other node is asked
	}
	start := time.Now()
	nobody := connected(t, without().address, without().address)
	_, err := nobody.Submit(within(t, 5*time.Second), "g", nil)
	if !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "there is no group g") {
		t.Errorf("a write to a group that nobody has: %v", err)
	}
	if _, err = nobody.Query(within(t, 5*time.Second), "g", client.Read{}, nil); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("a query to a group that nobody has: %v", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v to find that nobody has it", took)
	}
}

// A state machine that is no map may take the map's commands for its own: then they took effect.
func TestAnAnswerThatIsNotTheMaps(t *testing.T) {
	counter := &fake{table: &table{}}
	counter.open = func(_ context.Context, r *messages.OpenRequest) (*messages.OpenResponse, error) {
		o := counter.opened(r)
		counter.table.sessions[string(o.Session)][1] = []byte{} // a counter answers otherwise
		return o, nil
	}
	_, err := connected(t, listen(t, counter).address).Put(within(t, 5*time.Second), "k", nil)
	if !errors.Is(err, client.ErrAnswerNotKept) || errors.Is(err, client.ErrInvalid) {
		t.Errorf("a write that took effect: %v", err)
	}
}
