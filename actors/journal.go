package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/persistence"
)

// Executor runs work outside of any mailbox, and must not block its caller.
type Executor func(work func())

// Writer is the part of a [persistence.Store] that a journal uses.
type Writer interface {
	Write(batches []*persistence.Batch) error
	// Reclaimable says whether something was cut whose space can be had back. Reclaim does that for one group.
	Reclaimable() bool
	Reclaim() error
}

// write asks the journal to make a batch durable; synced is its answer.
type (
	write struct {
		batch  *batch
		server *actor.PID
	}
	synced struct{ batch *batch }
	// written is the executor's answer to the journal.
	written struct{ err error }
)

// journal is the one writer of a node's store. It merges what all groups have queued into one write, which waits for the sync
// outside of its mailbox and tells every server; meanwhile the next one gathers. After a cut it has the space back, in a turn of its own.
type journal struct {
	store   Writer
	run     Executor
	queued  []*write
	writing []*write
	records []*persistence.Batch
	// reclaims: the executor is busy with what was cut. Then it is the turn of what is queued.
	reclaims, reclaimed bool
	err                 error
}

func startJournal(root *actor.RootContext, store Writer, run Executor, broken func(error), props ...actor.PropsOption) (*actor.PID, error) {
	j := &journal{store: store, run: run}
	return spawnShared(root, "journal", j, broken, props)
}

func (j *journal) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *write:
		j.queued = append(j.queued, m)
		j.next(ctx)
	case *written:
		j.done(m.err)
		j.next(ctx)
	}
}

func (j *journal) next(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	switch {
	case len(j.writing) > 0 || j.reclaims:
		return
	case j.err == nil && (len(j.queued) == 0 || !j.reclaimed) && j.store.Reclaimable():
		j.reclaims, j.reclaimed = true, true
		j.run(func() { root.Send(self, &written{j.store.Reclaim()}) })
		return
	case len(j.queued) == 0:
		return
	case j.err != nil:
		j.refuse(ctx)
		return
	}
	j.reclaimed = false
	j.writing, j.queued = j.queued, j.writing[:0]
	j.records = j.records[:0]
	for _, w := range j.writing {
		j.records = append(j.records, &w.batch.records)
	}
	j.run(func() { j.write(root, self) })
}

// write runs on the executor, which has what is being written for itself until it says that it is written.
func (j *journal) write(root *actor.RootContext, self *actor.PID) {
	err := j.store.Write(j.records)
	for _, w := range j.writing {
		if err == nil {
			root.Send(w.server, &synced{w.batch})
		} else {
			root.Send(w.server, &storageFailed{err})
		}
	}
	root.Send(self, &written{err})
}

func (j *journal) done(err error) {
	if j.err == nil {
		j.err = err
	}
	j.reclaims = false
	clear(j.writing)
	clear(j.records)
	j.writing = j.writing[:0]
}

// refuse answers what came after a failure: nothing is tried again, since a second sync proves nothing.
func (j *journal) refuse(ctx actor.Context) {
	for _, w := range j.queued {
		ctx.Send(w.server, &storageFailed{j.err})
	}
	j.queued = nil
}
