package simulation

import (
	"bytes"
	"sort"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// read is one at a node.
type read struct {
	*operation
	n   *node
	how actors.Read
	// least is an index that the answer must reflect.
	least uint64
}

// clocksJump says whether they do in this seed. A lease holds only while clocks run evenly: it is asked for in all other seeds.
func (o *Options) clocksJump() bool { return o.Faults[ClockJump] > 0 && o.Seed/8%2 == 0 }

// weaker are the reads that are not linearizable, of all.
const weaker = 0.4

// read asks a node in one of the ways that there are.
func (o *operation) read(n *node) {
	w, t := o.w, &o.w.truth[o.group]
	r := &read{operation: o, n: n}
	switch weak := w.chance(weaker); {
	case !weak && !w.options.clocksJump() && w.chance(0.5):
		r.how.Consistency, r.least = actors.Lease, uint64(len(t.committed))
	case !weak:
		r.how.Consistency, r.least = actors.Linearizable, uint64(len(t.committed))
	case w.chance(0.4):
		r.how = actors.Read{Consistency: actors.Bounded, MaxStaleness: w.between(time.Millisecond, 2*time.Second)}
		r.least = t.committedBy(w.now - r.how.MaxStaleness*6/5) // clocks drift
	case w.chance(0.5):
		r.how.Consistency, r.least = actors.Stale, n.machines[o.group].reached
	default:
		r.how.Consistency = actors.Stale
		r.wait()
		return
	}
	r.ask()
}

// committedBy is the last index that anybody had said to be committed at a time.
func (t *truth) committedBy(at time.Duration) uint64 {
	return uint64(sort.Search(len(t.committedAt), func(i int) bool { return t.committedAt[i] > at }))
}

func (r *read) ask() {
	w := r.w
	a := w.ask(r.n, r.group, string(r.Input), r.Input, r.took)
	var by actors.Caller = a
	if w.chance(0.5) {
		by = &looker{a, r.how}
	}
	r.n.doors[r.group].Read(r.how, a.given, by)
}

// looker makes its read by itself, some time after it may.
type looker struct {
	*asked
	how actors.Read
}

// MayLook is called by the actors, who owe nothing more then.
func (l *looker) MayLook(readIndex uint64) {
	l.answered()
	l.w.after(l.w.between(0, 2*time.Millisecond), func() {
		if !l.n.up || l.n.incarnation != l.incarnation {
			return
		}
		l.w.history.unanswered[l.asked] = true
		door := l.n.doors[l.group]
		if a, ok := door.LookNow(readIndex, l.given); ok {
			l.Answer(a)
		} else {
			door.Read(l.how, l.given, l.asked)
		}
	})
}

// wait waits until the node has applied what the client was told of.
func (r *read) wait() {
	r.least = r.told
	applied, giveUp, err := r.n.doors[r.group].Applied(r.least)
	if err != nil {
		r.w.fail("few wait for what is applied", "%v", err)
		return
	}
	incarnation := r.n.incarnation
	var look func()
	look = func() {
		if !r.w.history.open[r.operation] || r.n.incarnation != incarnation {
			giveUp()
			return
		}
		select {
		case <-applied:
			r.ask()
		default:
			r.w.after(r.w.between(time.Millisecond, 5*time.Millisecond), look)
		}
	}
	look()
}

func (r *read) took(a actors.Answer) {
	if a.Err == nil {
		r.check(a)
	}
	if !r.end() {
		return
	}
	switch linearizable := r.how.Consistency <= actors.Lease; {
	case a.Err == nil && linearizable:
		r.done(outcome{value: bytes.Clone(a.Value)})
	case a.Err == nil:
		r.soon()
	default:
		r.elsewhere(a.Err, r.next)
	}
}

// check holds an answer against what it says of itself: it is that of the state at its index, which is the one that the node has reached,
// and not older than the read allows.
func (r *read) check(a actors.Answer) {
	w := r.w
	sentence := "a read sees all that was committed when it was asked (section 8)"
	if r.how.Consistency > actors.Lease {
		sentence = "a read that may be stale sees what it must see"
	}
	if a.Index < r.least {
		w.fail(sentence, "%q at %s, %+v, must see %d, and sees %d%s", r.Input, r.n.id, r.how, r.least, a.Index, w.describe())
	}
	if reached := r.n.machines[r.group].reached; a.Index != reached {
		w.fail("a read says which state it saw", "%q at %s says %d, its machine had reached %d", r.Input, r.n.id, a.Index, reached)
	}
	if want := w.truth[r.group].model.answer(w.machine, r.Operation, a.Index); !bytes.Equal(want, a.Value) {
		w.fail("a read finds the state of its index", "%q at %s is answered by %q, but at %d there was %q",
			r.Input, r.n.id, a.Value, a.Index, want)
	}
}

// answer is what a query finds in the state at an index.
func (m model) answer(machine Machine, op Operation, index uint64) []byte {
	all := m[machine.partition(op)]
	state := ""
	if n := sort.Search(len(all), func(i int) bool { return all[i].from > index }); n > 0 {
		state = all[n-1].state
	}
	_, answer, _ := machine.Apply(state, op)
	return answer
}
