package actors

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Concurrent is a state machine that may say that its Query can be called by many goroutines at a time, though never beside another of its
// methods. Reads then run on their callers' goroutines where they can, some of which serve many others: such a Query must be quick, and
// must not ask its own group. Apply holds up the goroutines of those who wait for their own reads only.
type Concurrent interface{ ConcurrentQuery() bool }

// beside is how callers ask the state machine without mail, while none of its other methods runs.
type beside struct {
	allowed bool // it never changes
	closed  atomic.Bool

	mu      sync.RWMutex
	sm      StateMachine // nil: not now
	applied uint64

	lease shownLease
}

// shownLease is what callers know of a leader's lease (thesis 6.4.1).
type shownLease struct {
	until atomic.Int64 // since the machine's boot
	// committed is what a read must not miss: others may have read it, before the machine here has applied it.
	committed atomic.Uint64
	// used: a read went by the lease since the leader looked.
	used atomic.Bool
}

// show lets reads go by the lease. What is committed is shown before.
func (l *shownLease) show(until time.Duration, committed uint64) {
	l.committed.Store(committed)
	l.until.Store(int64(until))
}

func (l *shownLease) hide() { l.until.Store(0) }

// holds says what a read must reflect that begins now, if a lease lasts.
func (l *shownLease) holds(clock Clock) (index uint64, ok bool) {
	until := l.until.Load()
	if until == 0 || int64(clock.SinceBoot()) >= until {
		return 0, false
	}
	if !l.used.Load() {
		l.used.Store(true)
	}
	return l.committed.Load(), true
}

func concurrent(sm StateMachine) bool {
	c, ok := sm.(Concurrent)
	return ok && c.ConcurrentQuery()
}

// open lets callers ask.
func (b *beside) open(sm StateMachine, applied uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sm, b.applied = sm, applied
}

// alone calls a method of the state machine that no query may run beside.
func (m *machine) alone(do func()) {
	b := &m.door.beside
	if !b.allowed {
		do()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sm = nil // if it panics, nobody may ask any more
	do()
	b.sm, b.applied = m.sm, m.applied
}

// ReadNow answers a read on the caller's goroutine, if that can be: a stale one, or one while a lease lasts and what is committed is
// applied, of a state machine that is [Concurrent]. Otherwise the caller asks with [Door.Read].
func (d *Door) ReadNow(r Read, q []byte) (answer Answer, ok bool) {
	least, ok := d.needsNoRound(r)
	if !ok {
		return Answer{}, false
	}
	return d.LookNow(least, q)
}

// readUnheld is ReadNow on a goroutine that serves others too: Apply must not hold it up.
func (d *Door) readUnheld(r Read, q []byte) (answer Answer, ok bool) {
	b := &d.beside
	least, ok := d.needsNoRound(r)
	if !ok || !d.mayLook() || !b.mu.TryRLock() {
		return Answer{}, false
	}
	defer b.mu.RUnlock()
	return d.askBeside(least, q)
}

// needsNoRound says whether a read may be made now, and which entry must be applied then.
func (d *Door) needsNoRound(r Read) (least uint64, ok bool) {
	switch {
	case !d.beside.allowed:
		return 0, false
	case r.Consistency == Lease:
		return d.beside.lease.holds(d.clock)
	}
	return 0, r.Consistency == Stale
}

// Looker is a [Caller] of a read who can make it by itself.
type Looker interface {
	Caller
	// MayLook takes the place of Answer, when the read may be made: with [Door.LookNow], on the caller's goroutine. It must not block.
	MayLook(readIndex uint64)
}

// LookNow makes a read on the caller's goroutine that may be made once readIndex is applied. If that cannot be now, the caller asks again,
// and not as a [Looker].
func (d *Door) LookNow(readIndex uint64, q []byte) (answer Answer, ok bool) {
	if !d.mayLook() {
		return Answer{}, false
	}
	d.beside.mu.RLock()
	defer d.beside.mu.RUnlock()
	return d.askBeside(readIndex, q)
}

func (d *Door) mayLook() bool {
	return d.beside.allowed && !d.beside.closed.Load() && !d.restoring.Load() // to restore may take long
}

// askBeside asks the state machine, which is locked for that.
func (d *Door) askBeside(readIndex uint64, q []byte) (answer Answer, ok bool) {
	b := &d.beside
	if b.sm == nil || b.applied < readIndex {
		return Answer{}, false
	}
	ok = true
	defer d.panicked(&answer)
	value, err := b.sm.Query(context.Background(), q)
	return Answer{Index: b.applied, Value: value, Err: err}, true
}

// toldTogether is how many callers are told at a time that they may look. They queue up for the processor of who tells them: when the
// system gives that one to somebody else, for some milliseconds as a rule, all of them are late. So others run before more are told, though
// not more often than mostPieces times.
const toldTogether, mostPieces = 32, 32

// letLook tells the lookers among the callers that they may look, and returns the other reads.
func (d *Door) letLook(readIndex uint64, queries []query) []query {
	if !d.beside.allowed {
		return queries
	}
	others, piece, told := queries[:0], max(toldTogether, len(queries)/mostPieces), 0
	for _, q := range queries {
		looker, can := q.caller.(Looker)
		if !can || q.barrier {
			others = append(others, q)
			continue
		}
		if told > 0 && told%piece == 0 {
			runtime.Gosched()
		}
		told++
		d.release(1, len(q.query))
		looker.MayLook(readIndex)
	}
	clear(queries[len(others):])
	return others
}

// queryPanicked tells the machine that a query panicked on its caller's goroutine.
type queryPanicked struct{ reason *panicked }

// panicked, deferred, has the machine panic in the place of a caller.
func (d *Door) panicked(answer *Answer) {
	if reason := recover(); reason != nil {
		p := stacked(reason)
		d.root.Send(d.machine, &queryPanicked{p})
		answer.Err = machinePanicked(p)
	}
}

func machinePanicked(p *panicked) error {
	return fmt.Errorf("%w: the state machine panicked: %v", ErrGroupFailed, p.reason)
}
