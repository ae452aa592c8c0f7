package cluster

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Option adds to a [Config] what only some programs need.
type Option func(*options)

type options struct {
	app *actor.ActorSystem
	fs  vfs.FS
	// withoutForwarding: only the leader takes callers.
	withoutForwarding bool
}

// WithActorSystem gives every group of the node an actor in the application's actor system, at [Group.PID]. The node keeps
// its own actor system for what passes between nodes. One node at most can use an actor system for a group of a given name.
func WithActorSystem(app *actor.ActorSystem) Option {
	return func(o *options) { o.app = app }
}

// WithoutForwarding lets this node answer its callers with [actors.ErrNotLeader] where it does not lead. They find the leader themselves.
func WithoutForwarding() Option { return func(o *options) { o.withoutForwarding = true } }

// WithFS stores on another file system than the machine's; tests make it fail.
func WithFS(fs vfs.FS) Option { return func(o *options) { o.fs = fs } }
