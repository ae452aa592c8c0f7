package simulation

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
)

// stop ends a node as its own shutdown does: its groups, its journal, its store. It is started again later.
func (w *world) stop(n *node) {
	if !n.up || n.paused || n.stopping {
		return
	}
	w.hit(Stop)
	w.note("%s is stopped", n.id)
	n.stopping = true
	for _, d := range n.doors {
		n.system.Root.Stop(d.PID())
	}
	n.whenEnded(n.groupActors, func() {
		if a := w.history.owed(func(a *asked) bool { return a.n == n && a.incarnation == n.incarnation }); a != nil {
			w.fail("a server that stops answers all its callers", "%v", a)
		}
		for _, pid := range n.shared.PIDs() {
			n.system.Root.Stop(pid)
		}
		n.whenEnded(n.shared.PIDs, func() {
			n.close()
			w.after(w.between(10*time.Millisecond, 2*time.Second), n.restart)
		})
	})
}

func (n *node) groupActors() []*actor.PID {
	var all []*actor.PID
	for _, d := range n.doors {
		all = append(all, d.PID())
	}
	return all
}

// whenEnded goes on when these actors are gone, unless the node is killed before.
func (n *node) whenEnded(actors func() []*actor.PID, next func()) {
	incarnation := n.incarnation
	n.w.after(100*time.Microsecond, func() {
		if n.incarnation != incarnation {
			return
		}
		for _, pid := range actors() {
			if _, runs := n.system.ProcessRegistry.GetLocal(pid.Id); runs {
				n.whenEnded(actors, next)
				return
			}
		}
		next()
	})
}

// close is the end of an orderly shutdown: all that was written is on the disk.
func (n *node) close() {
	if n.disk.writing != nil {
		n.disk.write(n)
	}
	n.leave()
	_ = n.store.Close() // fails when the disk did
	n.store = nil
	n.disk.fs = n.disk.fs.CrashClone(vfs.CrashCloneCfg{RNG: n.w.rng})
}

// checkFailed checks that a server that failed told its callers so.
func (w *world) checkFailed(n *node) {
	const enough = 500 * time.Millisecond
	if !n.up || n.paused || n.stopping || w.now-n.hindered() < enough {
		return
	}
	a := w.history.owed(func(a *asked) bool {
		return a.n == n && a.incarnation == n.incarnation && w.now-a.called > enough && n.doors[a.group].Status().Role == actors.Failed
	})
	if a != nil {
		w.fail("a server that failed answers its callers", "%v%s", a, w.describe())
	}
}
