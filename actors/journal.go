package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/persistence"
)

// Executor runs work outside of any mailbox, one at a time for one journal, and must not block its caller.
type Executor func(work func())

// Committer is the part of a [persistence.Store] that a journal uses.
type Committer interface {
	Commit(batches []*persistence.Batch) error
}

// commit asks the journal to make a batch durable; synced is its answer.
type (
	commit struct {
		batch  *batch
		server *actor.PID
	}
	synced struct{ batch *batch }
	// committed is the executor's answer to the journal.
	committed struct{ err error }
)

// journal is the one writer of a node's store. It merges what all groups have queued into one commit, which waits for the sync
// outside of its mailbox and tells every server; meanwhile the next commit gathers.
type journal struct {
	store   Committer
	run     Executor
	queued  []*commit
	writing []*commit
	records []*persistence.Batch
	err     error
}

// StartJournal spawns the journal of a node. Commits run on run. When the journal itself fails, broken is told, from any goroutine, with an
// error that has a Stack() string: the servers of the node must be told with Door.StorageFailed. Props are added to the actor's.
func StartJournal(root *actor.RootContext, store Committer, run Executor, broken func(error), props ...actor.PropsOption) (*actor.PID, error) {
	j := &journal{store: store, run: run}
	options := append([]actor.PropsOption{actor.WithGuardian(&stopForGood{func(p *panicked) {
		broken(fmt.Errorf("the journal panicked: %w", p))
	}})}, props...)
	return root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return j }, options...), "journal")
}

func (j *journal) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *commit:
		j.queued = append(j.queued, m)
		j.write(ctx)
	case *committed:
		j.done(m.err)
		j.write(ctx)
	}
}

func (j *journal) write(ctx actor.Context) {
	if len(j.writing) > 0 || len(j.queued) == 0 {
		return
	}
	if j.err != nil {
		j.refuse(ctx)
		return
	}
	j.writing, j.queued = j.queued, j.writing[:0]
	j.records = j.records[:0]
	for _, c := range j.writing {
		j.records = append(j.records, &c.batch.records)
	}
	self, root := ctx.Self(), ctx.ActorSystem().Root
	j.run(func() { j.commit(root, self) })
}

// commit runs on the executor, which has the commits being written for itself until it says that they are committed.
func (j *journal) commit(root *actor.RootContext, self *actor.PID) {
	err := j.store.Commit(j.records)
	for _, c := range j.writing {
		if err == nil {
			root.Send(c.server, &synced{c.batch})
		} else {
			root.Send(c.server, &storageFailed{err})
		}
	}
	root.Send(self, &committed{err})
}

func (j *journal) done(err error) {
	if j.err == nil {
		j.err = err
	}
	clear(j.writing)
	clear(j.records)
	j.writing = j.writing[:0]
}

// refuse answers what came after a failure: nothing is tried again, since a second sync proves nothing.
func (j *journal) refuse(ctx actor.Context) {
	for _, c := range j.queued {
		ctx.Send(c.server, &storageFailed{j.err})
	}
	j.queued = nil
}
