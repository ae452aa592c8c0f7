package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
)

func TestEvents(t *testing.T) {
	if !alone(t) {
		return
	}
	app := newApp(t)
	published := make(chan cluster.Event, 100)
	app.EventStream.Subscribe(func(m any) {
		if e, is := m.(*cluster.Event); is {
			published <- *e
		}
	})
	node, group := single(t, t.TempDir(), echo{}, cluster.WithActorSystem(app))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lazy, given := group.Events(noContext), group.Events(ctx)
	awaitEvent(t, given, actors.Leader)
	e := awaitEvent(t, published, actors.Leader)
	if e != (cluster.Event{Group: "kv", Role: actors.Leader, Leader: "n1", Term: e.Term}) || e.Term == 0 {
		t.Errorf("%+v", e)
	}
	if e := <-group.Events(ctx); e.Role != actors.Leader {
		t.Errorf("the present state is not the first event, but %+v", e)
	}

	cancel()
	for range given { // ends
	}
	shutdown(t, node)
	awaitEvent(t, published, actors.Stopped)
	if e, more := <-lazy; !more || e.Role != actors.Stopped || e.Err == nil {
		t.Errorf("who took no event got another than the last: %+v", e)
	}
	if e, more := <-lazy; more {
		t.Errorf("after the end: %+v", e)
	}
}

func awaitEvent(t *testing.T, events <-chan cluster.Event, role actors.Role) cluster.Event {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case e, more := <-events:
			if !more {
				t.Fatal("the events ended")
			}
			if e.Role == role {
				return e
			}
		case <-late:
			t.Fatalf("never: %v", role)
		}
	}
}
