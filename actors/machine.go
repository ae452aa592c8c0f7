package actors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// machine is the actor around the StateMachine: it keeps mail, order and callers. After apply, the machine answers
// the caller.
type machine struct {
	interpreter
	door   *Door
	store  *persistence.Store
	number persistence.GroupID
	limits Limits
	logger *slog.Logger
	// observer, if set, sees the sessions after every apply.
	observer func(index uint64, sessions func() io.WriterTo)

	// waiters are those of the apply at work; reads wait until their index is applied.
	waiters []waiter
	reads   []*lookup
}

// replay continues an apply that reads its entries from the store.
type replay struct{ last uint64 }

func (m *machine) Receive(ctx actor.Context) {
	defer withStack()
	switch mail := ctx.Message().(type) {
	case *apply:
		if mail.taken.Swap(true) {
			return
		}
		m.waiters = mail.waiters
		if mail.entries == nil {
			m.replay(ctx, mail.last)
			return
		}
		m.apply(mail.first, mail.entries)
		m.finish(ctx)
	case *replay:
		m.replay(ctx, mail.last)
	case *lookup:
		if mail.readIndex <= m.applied {
			m.look(mail)
		} else {
			m.reads = append(m.reads, mail)
		}
	case turn:
		ctx.Send(ctx.Parent(), mail)
	case *freeze:
		m.freeze(ctx)
	case *thaw:
		m.thaw(mail.view)
	case *restore:
		m.restore(ctx, mail.snapshot)
	case *refuseReads:
		for _, l := range m.reads {
			m.refuse(l, mail.err)
		}
		m.reads = nil
	case *queryPanicked:
		panic(mail.reason)
	case *actor.Stopping:
		m.stop()
	}
}

func (m *machine) finish(ctx actor.Context) {
	m.waiters = nil
	ctx.Send(ctx.Parent(), &applied{m.applied, m.sessions.time})
	m.lookWhatWaited()
}

// lookWhatWaited answers the reads whose index is applied now.
func (m *machine) lookWhatWaited() {
	waiting := m.reads[:0]
	for _, r := range m.reads {
		if r.readIndex <= m.applied {
			m.look(r)
		} else {
			waiting = append(waiting, r)
		}
	}
	clear(m.reads[len(waiting):])
	m.reads = waiting
}

func (m *machine) freeze(ctx actor.Context) {
	var view View
	var err error
	m.alone(func() { view, err = m.snapshot() })
	ctx.Send(ctx.Parent(), &frozen{m.applied, nameOf(m.sm), view, err})
}

func (m *machine) thaw(view View) {
	if view == nil {
		return // there was none
	}
	var err error
	if m.alone(func() { err = view.Close() }); err != nil {
		m.logger.Warn("the view of a snapshot could not be closed", "err", err)
	}
}

// restore loads a snapshot. What an apply before it did not come to is in the snapshot.
func (m *machine) restore(ctx actor.Context, snapshot *messages.Snapshot) {
	var err error
	m.alone(func() { err = restoreFrom(&m.interpreter, m.store, m.number, snapshot) })
	if err != nil {
		panic(fmt.Errorf("the snapshot at entry %d cannot be restored: %w", snapshot.LastIncludedIndex, err))
	}
	m.observe()
	ctx.Send(ctx.Parent(), &restored{m.applied, m.sessions.time})
	m.lookWhatWaited()
}

// replay applies entries that are in the store only, some at a time, so that reads of what is applied do not wait for all.
func (m *machine) replay(ctx actor.Context, last uint64) {
	first := m.applied + 1
	_, entries, err := m.store.Read(m.number, first, min(last+1, first+uint64(m.limits.ApplyEntries)), m.limits.ApplyBytes)
	if errors.Is(err, persistence.ErrCompacted) { // a snapshot that was installed has them, and is restored next
		m.dropWaiters()
		m.finish(ctx)
		return
	}
	if err != nil {
		panic(fmt.Errorf("reading committed entries from %d on: %w", first, err))
	}
	m.apply(first, entries)
	if m.applied < last {
		ctx.Send(ctx.Self(), &replay{last})
		return
	}
	m.finish(ctx)
}

func (m *machine) apply(first uint64, entries []messages.EncodedEntry) {
	var outcomes []outcome
	m.alone(func() { outcomes = m.interpreter.apply(first, entries) })
	m.answer(outcomes)
	m.observe()
	m.release()
}

// observe shows the sessions to who wants to see them.
func (m *machine) observe() {
	if m.observer != nil {
		m.observer(m.applied, func() io.WriterTo { return m.sessions.view() })
	}
}

// answer tells the callers of the entries just applied. Both lists are in log order. Who is answered may ask again at once: there is room.
func (m *machine) answer(outcomes []outcome) {
	bytes, answered := 0, 0
	for ; answered < len(m.waiters) && m.waiters[answered].index <= m.applied; answered++ {
		bytes += m.waiters[answered].bytes
	}
	m.door.release(answered, bytes)
	next := 0
	for _, w := range m.waiters[:answered] {
		for outcomes[next].index != w.index {
			next++
		}
		w.caller.Answer(Answer{Index: w.index, Value: outcomes[next].Value, Err: outcomes[next].Err})
	}
	m.waiters = m.waiters[answered:]
}

// look answers the reads that their callers do not make by themselves. It takes off each query when it is answered: what is left, if one
// panics, is what nobody has answered.
func (m *machine) look(l *lookup) {
	l.queries = m.door.letLook(l.readIndex, l.queries)
	for len(l.queries) > 0 {
		q := l.queries[0]
		var value []byte
		var err error
		if !q.barrier {
			value, err = m.sm.Query(context.Background(), q.query)
		}
		l.queries = l.queries[1:]
		m.door.release(1, len(q.query))
		q.caller.Answer(Answer{Index: m.applied, Value: value, Err: err})
	}
	m.door.looked(l)
}

func (m *machine) refuse(l *lookup, err error) {
	m.door.refuseQueries(l.queries, err)
	m.door.looked(l)
}

// stop ends whoever still waits: what was handed over is committed, but whether it was applied nobody can say.
func (m *machine) stop() {
	m.door.beside.open(nil, m.applied)
	m.dropWaiters()
	m.reads = nil
	m.door.close(ErrClosed)
	m.door.refuseLookups()
}

func (m *machine) dropWaiters() {
	for _, w := range m.waiters {
		m.door.release(1, w.bytes)
		w.caller.Answer(Answer{Index: w.index, Err: ErrOutcomeUnknown})
	}
	m.waiters = nil
}
