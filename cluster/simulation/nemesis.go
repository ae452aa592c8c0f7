package simulation

import (
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/troupe-raft/troupe/actors"
)

// outage is a set of links that carry nothing.
type outage struct {
	fault Fault
	hit   bool
}

// hits draws one of the network's faults, and counts it.
func (w *world) hits(f Fault) bool {
	if !w.chaos || !w.chance(w.options.Faults[f]) {
		return false
	}
	w.hit(f)
	return true
}

func (w *world) hit(f Fault) { w.hits_[f]++ }

// startFaults lets every other fault come again and again, at its rate.
func (w *world) startFaults() {
	for _, name := range faultNames() {
		f := Fault(name)
		if do := happenings[f]; do != nil && w.options.Faults[f] > 0 {
			w.recur(f, do)
		}
	}
}

func (w *world) recur(f Fault, do func(*world)) {
	wait := time.Duration(-math.Log(1-w.rng.Float64()) / w.options.Faults[f] * float64(time.Second))
	w.after(wait, func() {
		if w.chaos {
			do(w)
			w.recur(f, do)
		}
	})
}

var happenings = map[Fault]func(*world){
	Partition: func(w *world) {
		side := w.rng.Uint64()
		w.disconnect(Partition, func(from, to int) bool { return side>>from&1 != side>>to&1 })
	},
	OneWay: func(w *world) {
		a, b := w.rng.IntN(len(w.nodes)), w.rng.IntN(len(w.nodes))
		w.disconnect(OneWay, func(from, to int) bool { return from == a && to == b })
	},
	Bridge: func(w *world) {
		bridge, side := w.rng.IntN(len(w.nodes)), w.rng.Uint64()
		w.disconnect(Bridge, func(from, to int) bool {
			return from != bridge && to != bridge && side>>from&1 != side>>to&1
		})
	},
	IsolateLead: func(w *world) {
		if l := w.leader(); l >= 0 {
			w.disconnect(IsolateLead, func(from, to int) bool { return from == l || to == l })
		}
	},
	Kill:      func(w *world) { w.crash(Kill, w.someone()) },
	PowerLoss: func(w *world) { w.crashAll() },
	Pause:     func(w *world) { w.pause(w.someone(), w.between(100*time.Millisecond, 3*time.Second)) },
	SlowDisk: func(w *world) {
		n := w.someone()
		w.hit(SlowDisk)
		w.note("the disk of %s is slow", n.id)
		n.disk.slow = w.between(50*time.Millisecond, 3*time.Second)
		w.after(w.between(time.Second, 4*time.Second), func() { n.disk.slow = 0 })
	},
	WriteError: func(w *world) { w.breakDisk(onWrite) },
	SyncError:  func(w *world) { w.breakDisk(onSync) },
	DiskFull:   func(w *world) { w.breakDisk(whenFull) },
	BitRot: func(w *world) {
		if n := w.damage(); n != nil {
			w.hit(BitRot)
			n.harm("a bit was flipped in its store", func() error { return n.disk.rot(w) })
		}
	},
	Wipe: (*world).wipe,
	Lull: func(w *world) {
		w.hit(Lull)
		w.truth[w.rng.IntN(len(w.truth))].lull = w.now + w.between(500*time.Millisecond, 3*time.Second)
	},
	Rollback: func(w *world) {
		n := w.damage()
		if n == nil {
			return
		}
		disk, older := n.disk, n.disk.fs.CrashClone(vfs.CrashCloneCfg{RNG: w.rng})
		w.after(w.between(100*time.Millisecond, 2*time.Second), func() {
			if w.chaos && w.expendable(n) && n.disk == disk {
				w.hit(Rollback)
				n.harm("older files were put back", func() error { return n.disk.rollBack(older) })
			}
		})
	},
	ClockJump: func(w *world) {
		if !w.options.clocksJump() {
			return
		}
		n := w.someone()
		w.hit(ClockJump)
		n.jumped += w.between(50*time.Millisecond, 2*time.Second)
		w.note("the clock of %s jumps", n.id)
	},
	Panic: func(w *world) {
		n := w.someone()
		n.disk.panics = true
		w.replace(n)
	},
	ActorPanic: func(w *world) {
		n := w.someone()
		n.panics = moment(1 + w.rng.IntN(2))
		w.replace(n)
	},
	Hangup: func(w *world) { w.someConnections(w.hangUp) },
	Reset:  func(w *world) { w.someConnections(w.reset) },
	Jam: func(w *world) {
		from, to := w.someone(), w.someone()
		w.hit(Jam)
		w.note("the link from %s to %s is jammed", from.id, to.id)
		l := link{from.place, to.place}
		w.arrives[l] = max(w.arrives[l], w.now+w.between(50*time.Millisecond, 3*time.Second))
	},
	Stop:  func(w *world) { w.stop(w.someone()) },
	Churn: (*world).churn, Replace: (*world).replaceNode, Rejoin: (*world).rejoin, Transfer: (*world).handOver, Move: (*world).move,
	NoSnapshot: func(w *world) {
		n := w.someone()
		w.hit(NoSnapshot)
		w.note("the next snapshot of %s fails", n.id)
		n.disk.failSnapshot.Store(true)
	},
	Starve: func(w *world) {
		if n := w.someone(); n.up {
			m := n.boxes[w.rng.IntN(len(n.boxes))]
			if w.chance(0.5) {
				m = n.servers[w.rng.IntN(len(n.servers))]
			}
			w.hit(Starve)
			w.note("%s/%d does not come to run", n.id, m.number)
			m.starve(w.between(10*time.Millisecond, 2*time.Second))
		}
	},
}

// faulty says whether something on the node is still to fail.
func (n *node) faulty() bool {
	return n.disk.panics || n.panics != never || failure(n.disk.fail.Load()) != none
}

// strikeLeader hits a leader within the first millisecond of its leadership.
func (w *world) strikeLeader(n *node) {
	if !w.hits(NewLeader) {
		return
	}
	incarnation, kind := n.incarnation, w.rng.IntN(3)
	w.after(w.between(0, time.Millisecond), func() {
		switch {
		case !w.chaos || n.incarnation != incarnation:
		case kind == 0:
			w.crash(Kill, n)
		case kind == 1:
			w.disconnect(NewLeader, func(from, to int) bool { return from == n.place || to == n.place })
		default:
			w.pause(n, w.between(w.options.Timing.Election, 6*w.options.Timing.Election))
		}
	})
}

// strikeChange cuts a leader off in a joint phase, so that only one of the two majorities is on its side.
func (w *world) strikeChange(n *node, g int) {
	sets := w.majorities(n.seen[g].log.members())
	if !w.chaos || w.options.Faults[Partition] == 0 || len(sets) < 2 || !w.chance(0.3) {
		return
	}
	var sides []nodeSet
	for side := range nodeSet(1) << len(w.nodes) {
		if side>>n.place&1 == 1 && agree(sets[:1], side) != agree(sets[1:], side) {
			sides = append(sides, side)
		}
	}
	if len(sides) == 0 {
		return
	}
	side := sides[w.rng.IntN(len(sides))]
	w.after(w.between(0, time.Millisecond), func() {
		if w.chaos {
			w.disconnect(Partition, func(from, to int) bool { return side>>from&1 != side>>to&1 })
		}
	})
}

func (w *world) pause(n *node, d time.Duration) {
	if !n.up || n.paused {
		return
	}
	w.hit(Pause)
	w.note("%s is paused", n.id)
	n.pause()
	w.after(d, n.resume)
}

// replace restarts a node later, if a fault is still due there or has ended a server. It checks before that its callers were told.
func (w *world) replace(n *node) {
	incarnation := n.incarnation
	w.after(w.between(time.Second, 4*time.Second), func() {
		if n.incarnation != incarnation || !n.faulty() && !n.failed() {
			return
		}
		w.checkFailed(n)
		if w.chance(0.5) {
			w.stop(n)
		} else {
			w.crash(Kill, n)
		}
	})
}

func (w *world) someone() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

// leader is the place of a node that leads the first group, or -1.
func (w *world) leader() int {
	for i, n := range w.nodes {
		if n.up && len(n.doors) > 0 && n.doors[0].Status().Role == actors.Leader {
			return i
		}
	}
	return -1
}

// damage picks a node whose disk may be lost.
func (w *world) damage() *node {
	if n := w.someone(); w.expendable(n) {
		return n
	}
	return nil
}

// expendable says whether a majority stays intact without the disk of n. A group that is not founded yet needs every disk.
func (w *world) expendable(n *node) bool {
	if w.options.churning() {
		return false
	}
	for _, t := range w.truth {
		if len(t.committed) == 0 {
			return false
		}
	}
	damaged := 0
	for _, n := range w.nodes {
		if n.broken != "" || n.wiped {
			damaged++
		}
	}
	return damaged < (len(w.nodes)-1)/2 && n.broken == "" && !n.wiped
}

// wipe gives a node an empty disk.
func (w *world) wipe() {
	n := w.damage()
	if n == nil || !w.chaos {
		return
	}
	w.hit(Wipe)
	w.note("the disk of %s is wiped", n.id)
	n.crash()
	n.disk = newDisk(w.options.Groups)
	n.start()
	n.wiped = true
}

// harm changes what is on the disk of n while n is down. Then n must refuse to start, or find all that it had stored.
func (n *node) harm(what string, change func() error) {
	n.crash()
	if err := change(); err != nil {
		n.w.fail("the files of a node that is down can be changed", "%v", err)
	}
	n.broken = what
	n.start()
	if n.up {
		n.broken = ""
	}
}

func (w *world) disconnect(f Fault, cut func(from, to int) bool) {
	o := &outage{fault: f}
	w.note("%s", f)
	w.sever(o, cut)
	w.after(w.between(200*time.Millisecond, 4*time.Second), func() { w.reconnect(o) })
}

func (w *world) sever(o *outage, cut func(from, to int) bool) {
	for from := range w.nodes {
		for to := range w.nodes {
			if l := (link{from, to}); from != to && cut(from, to) && w.cut[l] == nil {
				w.cut[l] = o
			}
		}
	}
}

func (w *world) reconnect(o *outage) {
	for l, other := range w.cut {
		if other == o {
			delete(w.cut, l)
		}
	}
}

// blocked says whether a link carries nothing, and counts the outage when it first matters.
func (w *world) blocked(l link) bool {
	o := w.cut[l]
	if o == nil {
		return false
	}
	if !o.hit {
		o.hit = true
		w.hit(o.fault)
	}
	return true
}

func (w *world) crash(f Fault, n *node) {
	if !n.up {
		return
	}
	w.hit(f)
	w.note("%s is killed", n.id)
	n.crash()
	if f == Kill { // its system lives, and closes its connections
		for _, other := range w.nodes {
			w.connections[link{n.place, other.place}]++
			other.lose(n)
		}
	}
	w.after(w.between(10*time.Millisecond, 3*time.Second), n.restart)
}

// crashAll lets one, some or all nodes lose power.
func (w *world) crashAll() {
	some := w.rng.Uint64()
	for i, n := range w.nodes {
		if some>>i&1 == 1 {
			w.crash(PowerLoss, n)
		}
	}
}

func (w *world) breakDisk(f failure) {
	n := w.someone()
	if !n.up {
		return
	}
	n.disk.breaks(f)
	w.replace(n)
}
