package cluster

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// courier brings what this node's callers want to the group, wherever its leader is. Commands take effect exactly once: they go in a
// session that the courier opens (thesis 6.3). It is safe for concurrent use.
type courier struct {
	door   *actors.Door
	limits actors.Limits
	// patient: what no leader takes waits for one.
	patient bool
	// answered are errands whose copies have their answers, the last one first. Who has the mutex settles them.
	answered atomic.Pointer[errand]

	deliveries deliveries

	mu      sync.Mutex
	session *actors.ClientSession
	opening bool
	// waiting are commands that wait for the session, or for room in its window: as many as the group admits, and as many bytes.
	waiting      []*errand
	waitingBytes int
	// late refuses those whose time is over, at lateAt or, if that is zero, never.
	late   *time.Timer
	lateAt time.Time
	// pausing are reads that are asked again in a moment: as many as the group admits, and as many bytes.
	pausing, pausingBytes int
	// plainUntil: until then commands go without a session, each once, since not all members know sessions.
	plainUntil time.Time
}

// retryLevel is after what time a group is asked again whether all of its members know sessions.
const retryLevel = 10 * time.Second

func newCourier(door *actors.Door, patient bool) *courier {
	return &courier{door: door, limits: door.Limits(), patient: patient, session: actors.NewClientSession(rand.Uint64)}
}

// errand is one command or query on its way. It is the caller at the door of each copy of it; one at a time is there.
type errand struct {
	courier *courier
	caller  actors.Caller
	data    []byte
	read    *actors.Read // nil: it is a command
	plain   bool         // without a session: one copy is sent at most
	looks   bool         // a read's caller can make it by itself
	until   time.Time    // zero: until it is given up
	tries   int

	// answer is the copy's, until it is settled; next was answered before.
	answer actors.Answer
	next   *errand

	// Guarded by the courier.
	command actors.ClientCommand
	last    error // of the last copy
	over    bool
}

// send sends a copy, now or when there is a session for it. The caller is answered once, unless it gives up before.
func (e *errand) send() {
	c := e.courier
	switch {
	case e.looks:
		c.door.Read(*e.read, e.data, (*looker)(e))
		return
	case e.read != nil:
		c.door.Read(*e.read, e.data, e)
		return
	}
	c.mu.Lock()
	if e.over {
		c.release()
		return
	}
	if e.plain = e.plain || !c.plainUntil.IsZero() && time.Now().Before(c.plainUntil); e.plain {
		c.release()
		c.door.Propose(e.data, e)
		return
	}
	place, ok := c.session.Send(&e.command)
	if ok {
		c.release(delivery{e, place})
		return
	}
	waits := c.wait(e)
	c.release()
	if !waits {
		e.refuse(actors.ErrOverloaded)
	}
}

// wait lets a command wait, if there is room. The courier is locked.
func (c *courier) wait(e *errand) bool {
	if len(c.waiting) >= c.limits.AdmittedCommands || c.waitingBytes+len(e.data) > c.limits.AdmittedBytes {
		return false
	}
	c.waiting = append(c.waiting, e)
	c.waitingBytes += len(e.data)
	c.refuseLate(e.until)
	return true
}

// refuseLate sees to it that nobody waits who is not to wait beyond until. The courier is locked.
func (c *courier) refuseLate(until time.Time) {
	switch {
	case until.IsZero() || !c.lateAt.IsZero() && !until.Before(c.lateAt):
		return
	case c.late == nil:
		c.late = time.AfterFunc(time.Until(until), c.timeIsOver)
	default:
		c.late.Reset(time.Until(until))
	}
	c.lateAt = until
}

func (c *courier) timeIsOver() {
	c.mu.Lock()
	c.lateAt = time.Time{}
	now := time.Now()
	var late []*errand
	c.waiting = slices.DeleteFunc(c.waiting, func(e *errand) bool {
		if e.until.IsZero() || now.Before(e.until) {
			c.refuseLate(e.until)
			return false
		}
		late = append(late, e)
		c.waitingBytes -= len(e.data)
		return true
	})
	c.release()
	for _, e := range late {
		e.refuse(cmp.Or(e.last, error(actors.ErrOverloaded))) // if it is not the session, others have all of the window
	}
}

// ready are the commands that need not wait any more. The courier is locked.
func (c *courier) ready() (all []delivery) {
	for len(c.waiting) > 0 {
		e := c.waiting[0]
		place, ok := c.session.Send(&e.command)
		if !ok {
			return all
		}
		c.waiting = c.waiting[1:]
		c.waitingBytes -= len(e.data)
		all = append(all, delivery{e, place})
	}
	c.waiting = nil
	return all
}

// Answer implements actors.Caller, for a copy. It does not wait for the mutex, but leaves the answer to whoever has it: thousands of
// callers may queue there, and who answers thousands would queue behind them for each.
func (e *errand) Answer(a actors.Answer) {
	c := e.courier
	e.answer = a
	for {
		e.next = c.answered.Load()
		if c.answered.CompareAndSwap(e.next, e) {
			break
		}
	}
	if c.mu.TryLock() {
		c.release()
	}
}

// release settles what was answered, unlocks the courier and delivers what may be. What is answered while it is locked, others leave to
// this one.
func (c *courier) release(first ...delivery) {
	for {
		now := parcel{first, c.settleAll(), c.ready()}
		turn, open := c.deliveries.comes(now), c.mustOpen()
		c.mu.Unlock()
		c.deliveries.deliver(turn, now, c.door)
		if open {
			c.open(0)
		}
		if c.answered.Load() == nil || !c.mu.TryLock() {
			return
		}
		first = nil
	}
}

// settleAll settles what was answered. It returns the errands whose callers are to be told, the first one first.
func (c *courier) settleAll() (first *errand) {
	for e := c.answered.Swap(nil); e != nil; {
		before := e.next
		e.next = nil
		if again := e.settle(&e.answer) && c.pause(e); !again && !e.over {
			e.over = true
			e.next, first = first, e
		}
		e = before
	}
	return first
}

// pause lets an errand be sent again in a moment. The commands that do that are bounded by the window of their session; of reads no more do
// than there is room for. The courier is locked.
func (c *courier) pause(e *errand) bool {
	again := e.send
	if e.read != nil {
		if c.pausing >= c.limits.AdmittedCommands || c.pausingBytes+len(e.data) > c.limits.AdmittedBytes {
			e.answer.Err = actors.ErrOverloaded
			return false
		}
		c.pausing, c.pausingBytes = c.pausing+1, c.pausingBytes+len(e.data)
		again = e.resume
	}
	e.tries++
	time.AfterFunc(pauseAfter(e.tries), again)
	return true
}

// resume sends a read again, unless it was given up meanwhile.
func (e *errand) resume() {
	c := e.courier
	c.mu.Lock()
	c.pausing, c.pausingBytes = c.pausing-1, c.pausingBytes-len(e.data)
	over := e.over
	c.release()
	if !over {
		e.send()
	}
}

// settle notes what became of a copy, and says whether another one is to be sent. Otherwise a is what the caller is told. The courier is
// locked.
func (e *errand) settle(a *actors.Answer) (again bool) {
	c := e.courier
	e.last = a.Err
	if e.over || e.plain || a.Err == nil && e.read != nil {
		return false
	}
	again = c.mayHelp(a.Err) && (e.until.IsZero() || time.Now().Before(e.until))
	if e.read != nil {
		return again
	}
	switch c.session.Settle(&e.command, actors.FateOfCopy(a.Err)) {
	case actors.CommandUnknown:
		a.Err = &unknownError{a.Err}
	case actors.CommandUnanswered:
		if again {
			return true
		}
		if c.session.GiveUp(&e.command) {
			a.Err = &unknownError{a.Err}
		}
	}
	return false
}

// mayHelp says whether it is of use to ask again after an error.
func (c *courier) mayHelp(err error) bool {
	for _, passing := range []error{
		actors.ErrOutcomeUnknown, actors.ErrSessionGone, actors.ErrBeyondWindow, actors.ErrTooManySessions, actors.ErrRestoring,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return c.patient && errors.Is(err, actors.ErrNotLeader)
}

const (
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// pauseAfter is how long to wait after some tries: longer each time, and others at the same time wait for other times.
func pauseAfter(tries int) time.Duration {
	limit := min(firstPause<<min(tries, 10), lastPause)
	return limit/2 + rand.N(limit/2)
}

// giveUp ends an errand, because of an error, and says what its caller is to know. It returns false when the caller has its answer, or gets
// it now.
func (e *errand) giveUp(because error) (error, bool) {
	c := e.courier
	c.mu.Lock()
	if e.over {
		c.release()
		return nil, false
	}
	e.over = true
	if i := slices.Index(c.waiting, e); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
		c.waitingBytes -= len(e.data)
	}
	unknown := e.read == nil && (c.session.GiveUp(&e.command) || e.plain)
	last := e.last
	c.release()
	switch {
	case unknown:
		return &unknownError{because}, true
	case last != nil:
		return &gaveUpError{last, because}, true
	}
	return because, true
}

// refuse ends a command of which no copy was sent.
func (e *errand) refuse(err error) {
	e.courier.mu.Lock()
	over := e.over
	e.over = true
	e.courier.session.GiveUp(&e.command)
	e.courier.release()
	if !over {
		e.caller.Answer(actors.Answer{Err: err})
	}
}

// gaveUpError is of something that was not done until its caller gave up.
type gaveUpError struct{ last, because error }

func (e *gaveUpError) Error() string   { return e.last.Error() + " (" + e.because.Error() + ")" }
func (e *gaveUpError) Unwrap() []error { return []error{e.last, e.because} }

// mustOpen says whether there are commands that wait for a session that nobody opens. The courier is locked.
func (c *courier) mustOpen() bool {
	if len(c.waiting) == 0 || c.opening {
		return false
	}
	_, c.opening = c.session.Opening()
	return c.opening
}

// open asks for a session.
func (c *courier) open(tries int) {
	c.mu.Lock()
	nonce, _ := c.session.Opening()
	c.release()
	c.door.OpenSession(nonce, &opener{c, tries})
}

// opener is the caller at the door of an opening.
type opener struct {
	courier *courier
	tries   int
}

// Answer implements actors.Caller.
func (o *opener) Answer(a actors.Answer) {
	c := o.courier
	opened, err := actors.OpenedSession{}, a.Err
	if err == nil {
		opened, err = actors.DecodeOpenedSession(a.Value)
	}
	c.mu.Lock()
	if err == nil {
		c.session.Opened(opened)
	}
	ready := c.ready()
	c.opening = err != nil && len(c.waiting) > 0 && c.mayHelp(err)
	again := c.opening
	var refused []*errand
	for _, e := range c.waiting {
		e.last = err
	}
	if err != nil && !again {
		refused, c.waiting, c.waitingBytes = c.waiting, nil, 0
	}
	plain := errors.Is(err, actors.ErrNotReady)
	if plain {
		c.plainUntil = time.Now().Add(retryLevel)
	}
	c.release(ready...)
	for _, e := range refused {
		if plain {
			e.send()
		} else {
			e.refuse(err)
		}
	}
	if again {
		time.AfterFunc(pauseAfter(o.tries), func() { c.open(o.tries + 1) })
	}
}
