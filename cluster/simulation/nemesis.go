package simulation

import (
	"fmt"
	"math"
	"strings"
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
	Pause: func(w *world) {
		if n := w.someone(); n.up && !n.paused {
			w.hit(Pause)
			w.note("%s is paused", n.id)
			n.pause()
			w.after(w.between(100*time.Millisecond, 3*time.Second), n.resume)
		}
	},
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
	Wipe: func(w *world) {
		if n := w.damage(); n != nil {
			w.hit(Wipe)
			w.note("the disk of %s is wiped", n.id)
			n.crash()
			n.disk = newDisk(w.options.Groups)
			n.start()
			n.wiped = true
		}
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
		n := w.someone()
		w.hit(ClockJump)
		n.jumped += w.between(50*time.Millisecond, 2*time.Second)
		w.note("the clock of %s jumps", n.id)
	},
	Panic: func(w *world) {
		n := w.someone()
		n.disk.panics = true
		w.after(3*time.Second, func() { w.crash(Kill, n) })
	},
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

// expendable: without the disk of n a majority stays intact. Before a group is founded, it needs everyone.
func (w *world) expendable(n *node) bool {
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

// harm changes what is on the disk of n while it is down. Then it must refuse to start, or be none the worse.
func (n *node) harm(what string, change func() error) {
	n.crash()
	if err := change(); err != nil {
		n.w.fail("the files of a node that is down can be changed", err.Error())
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
	for from := range w.nodes {
		for to := range w.nodes {
			if l := (link{from, to}); from != to && cut(from, to) && w.cut[l] == nil {
				w.cut[l] = o
			}
		}
	}
	w.after(w.between(200*time.Millisecond, 4*time.Second), func() { w.reconnect(o) })
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
	w.after(w.between(10*time.Millisecond, 3*time.Second), n.restart)
}

// crashAll: a power loss of one, some or all.
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
	incarnation := n.incarnation
	w.after(w.between(time.Second, 4*time.Second), func() {
		if n.incarnation == incarnation {
			w.crash(Kill, n)
		}
	})
}

// heal ends all faults.
func (w *world) heal() {
	w.chaos = false
	w.note("all faults end")
	clear(w.cut)
	for _, n := range w.nodes {
		n.disk.slow, n.disk.panics = 0, false
		if n.paused {
			n.resume()
		}
		if n.up && (failure(n.disk.fail.Load()) != none || n.failed()) {
			n.crash()
		}
		n.restart()
	}
}

func (n *node) failed() bool {
	for _, d := range n.doors {
		if s := d.Status(); s.Role == actors.Failed || s.Role == actors.Stopped {
			return true
		}
	}
	return false
}

// settle: a healed cluster makes progress within 20 election timeouts, and then all that is left agrees.
func (w *world) settle() {
	if w.failure != nil {
		return
	}
	healed := w.now
	limit := healed + 20*w.options.Timing.Election
	committed := make([]int, w.options.Groups)
	for g := range w.truth {
		committed[g] = len(w.truth[g].committed)
	}
	progressed := func() bool {
		for g := range min(w.options.Groups, w.options.Clients) { // the others have no client
			if len(w.truth[g].committed) == committed[g] {
				return false
			}
		}
		return w.history.last > healed
	}
	w.run(func() bool { return progressed() || w.now > limit })
	if w.failure == nil && !progressed() {
		w.fail("a healed cluster makes progress within 20 election timeouts", fmt.Sprintf("nothing new after %v: %s", w.now-healed, w.describe()))
	}
	limit = w.now + 20*w.options.Timing.Election
	w.run(func() bool { return w.now > limit || w.lagging(committed) == "" })
	if lag := w.lagging(committed); w.failure == nil && lag != "" {
		w.fail("every intact server catches up within 20 election timeouts", lag)
	}
}

// lagging names an intact server that has not applied what was committed when the faults ended.
func (w *world) lagging(committed []int) string {
	for _, n := range w.nodes {
		for g, d := range n.doors {
			if s := d.Status(); n.up && !n.wiped && s.AppliedIndex < uint64(committed[g]) {
				return fmt.Sprintf("%s applied %d of %d: %+v", n.id, s.AppliedIndex, committed[g], s)
			}
		}
	}
	return ""
}

// quieten ends the clients' work and takes the leaders away: the next ones commit all that they have, with nobody asking, and the
// others hear of it. Without the no-op of a new term (section 8) they would not.
func (w *world) quieten() {
	if w.failure != nil {
		return
	}
	w.history.quiet = true
	w.run(func() bool { return len(w.history.open) == 0 })
	terms := make([]uint64, w.options.Groups)
	for g := range w.truth {
		for _, n := range w.nodes {
			if n.up && n.doors[g].Status().Role == actors.Leader {
				terms[g] = n.doors[g].Status().Term
				n.crash()
				n.restart()
			}
		}
	}
	limit := w.now + 20*w.options.Timing.Election
	w.run(func() bool { return w.now > limit || w.unsettled(terms) == "" })
	if what := w.unsettled(terms); w.failure == nil && what != "" {
		w.fail("new leaders commit all that they have, and tell the others", what+w.describe())
	}
	if forgotten := w.history.forgotten(); w.failure == nil && forgotten != "" {
		w.fail("every caller is answered", forgotten)
	}
}

// unsettled names a group that has no new leader since those terms, or a server that has not applied the whole of its log.
func (w *world) unsettled(terms []uint64) string {
	for g, term := range terms {
		led := false
		for _, n := range w.nodes {
			if !n.up || n.wiped {
				continue
			}
			s := n.doors[g].Status()
			led = led || s.Role == actors.Leader && s.Term > term
			if s.AppliedIndex != s.LastIndex || s.LastIndex != uint64(len(w.truth[g].committed)) {
				return n.id
			}
		}
		if !led {
			return groupName(g)
		}
	}
	return ""
}

// describe says how every server is.
func (w *world) describe() string {
	var all []string
	for _, n := range w.nodes {
		for g, d := range n.doors {
			s := d.Status()
			all = append(all, fmt.Sprintf("%s/%s up=%v wiped=%v %v term=%d leader=%q last=%d@%d durable=%d disk=%d commit=%d applied=%d err=%v",
				n.id, groupName(g), n.up, n.wiped, s.Role, s.Term, s.LeaderID, s.LastIndex, n.seen[g].lastTerm(), s.DurableIndex, len(n.disk.groups[g].entries), s.CommitIndex, s.AppliedIndex, s.Err))
		}
		if n.broken != "" {
			all = append(all, n.id+" is down: "+n.broken)
		}
	}
	return "\n" + strings.Join(all, "\n")
}

func (s seen) lastTerm() uint64 {
	if len(s.entries) == 0 {
		return 0
	}
	return s.entries[len(s.entries)-1].term
}
