package cluster

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// The actor of a group that could not be started ends, and its name is free again.
func TestAFacadeEndsWhenItsGroupCannotBeStarted(t *testing.T) {
	app := actor.NewActorSystem()
	defer app.Shutdown()
	for range 2 {
		g := newGroup("g", &Node{options: options{app: app}})
		var err error
		if g.facade, err = spawnFacade(app, g); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			g.dropFacade()
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
		}
	}
}
