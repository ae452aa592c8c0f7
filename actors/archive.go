package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// archive is the one actor of a node that writes snapshots of its groups: one at a time, piece by piece, on an executor. It also looks
// after the length of all logs together, and removes files that a newer snapshot has replaced.
type archive struct {
	store  *persistence.Store
	run    Executor
	clock  Clock
	budget int64

	queue   []*actor.PID // servers that wait for their turn
	turn    *actor.PID   // whose it is; nil: nobody's
	writing *recording
	began   time.Time // when the last piece was

	lengths map[string]*logLength // by server
	// total is the length of all logs, without those that were asked to become shorter.
	total int64
}

// logLength is how long the log of a server is.
type logLength struct {
	server *actor.PID
	bytes  int64
	// shrinks: the server was asked to cut, and has not done it.
	shrinks bool
}

// Mail of the archive.
type (
	// takeTurn asks for the turn to take a snapshot, yourTurn gives it, turnOver gives it back.
	takeTurn struct{ server *actor.PID }
	yourTurn struct{}
	turnOver struct{ server *actor.PID }
	// record writes a view into a file, recorded says how it ended. The turn is over then.
	record struct {
		server *actor.PID
		number persistence.GroupID
		header *messages.SnapshotHeader
		view   View
		piece  int // bytes
	}
	recorded struct {
		snapshot *messages.Snapshot
		err      error
	}
	// pieceWritten is the executor's answer to the archive; end is nil until the file is finished.
	pieceWritten struct{ end *recorded }
	// rested: the next piece may be written.
	rested struct{}
	// logSize tells how long a log is, and whether it was cut since the last time; shrink asks for a cut that leaves only so many bytes.
	logSize struct {
		server *actor.PID
		bytes  int64
		cut    bool
	}
	shrink struct{ keep int64 }
	// retire removes the files of a group's older snapshots.
	retire struct {
		number persistence.GroupID
		keep   *messages.Snapshot
	}
)

func startArchive(root *actor.RootContext, c SharedConfig, props ...actor.PropsOption) (*actor.PID, error) {
	a := &archive{store: c.Store, run: c.Run, clock: c.Clock, budget: c.LogBudget, lengths: map[string]*logLength{}}
	return spawnShared(root, "archive", a, c.Broken, props)
}

func (a *archive) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *takeTurn:
		a.queue = append(a.queue, m.server)
		a.next(ctx)
	case *turnOver:
		a.leave(ctx, m.server)
	case *record:
		a.writing = &recording{record: m}
		a.step(ctx)
	case *pieceWritten:
		a.wrote(ctx, m.end)
	case *rested:
		a.step(ctx)
	case *logSize:
		a.measure(ctx, m)
	case *retire:
		a.run(func() { a.store.RemoveSnapshots(m.number, m.keep) })
	case *actor.Terminated:
		a.forget(ctx, m.Who)
	}
}

func (a *archive) next(ctx actor.Context) {
	if a.turn == nil && a.writing == nil && len(a.queue) > 0 {
		a.turn, a.queue = a.queue[0], a.queue[1:]
		ctx.Send(a.turn, &yourTurn{})
	}
}

// leave ends what a server waits for or has under way.
func (a *archive) leave(ctx actor.Context, server *actor.PID) {
	a.queue = slices.DeleteFunc(a.queue, func(p *actor.PID) bool { return p.Id == server.Id })
	if a.turn != nil && a.turn.Id == server.Id {
		a.turn = nil
	}
	a.next(ctx)
}

func (a *archive) step(ctx actor.Context) {
	self, root, w, unwanted := ctx.Self(), ctx.ActorSystem().Root, a.writing, a.turn == nil
	a.began = a.clock.Now()
	a.run(func() {
		if unwanted {
			w.abort()
			root.Send(self, &pieceWritten{&recorded{err: errUnwanted}})
			return
		}
		root.Send(self, &pieceWritten{w.step(a.store)})
	})
}

const (
	restFactor  = 4
	longestRest = 100 * time.Millisecond
)

// rest leaves processor and disk to others between two pieces: the longer a piece took, the more they have to do.
func (a *archive) rest(ctx actor.Context) {
	wait := min(restFactor*a.clock.Now().Sub(a.began), longestRest)
	a.clock.After(max(wait, 0), ctx.Self(), &rested{})
}

var errUnwanted = errors.New("nobody wants the snapshot any more")

func (a *archive) wrote(ctx actor.Context, end *recorded) {
	switch {
	case end == nil && a.writing.last:
		a.step(ctx)
		return
	case end == nil:
		a.rest(ctx)
		return
	}
	ctx.Send(a.writing.server, end)
	a.writing, a.turn = nil, nil
	a.next(ctx)
}

// measure notes how long a log is. While all together are too long, the longest are asked to become shorter.
func (a *archive) measure(ctx actor.Context, m *logSize) {
	l := a.lengths[m.server.Id]
	if l == nil {
		l = &logLength{server: m.server}
		a.lengths[m.server.Id] = l
		ctx.Watch(m.server)
	}
	a.count(l, -1)
	l.shrinks = l.shrinks && !m.cut
	l.bytes = m.bytes
	a.count(l, 1)
	for a.total > a.budget {
		longest := a.longest()
		a.count(longest, -1)
		longest.shrinks = true
		ctx.Send(longest.server, &shrink{a.budget / int64(2*len(a.lengths))})
	}
}

func (a *archive) count(l *logLength, sign int64) {
	if !l.shrinks {
		a.total += sign * l.bytes
	}
}

// longest is of those that do not shrink already.
func (a *archive) longest() *logLength {
	var longest *logLength
	for _, l := range a.lengths {
		if !l.shrinks && (longest == nil || l.bytes > longest.bytes || l.bytes == longest.bytes && l.server.Id < longest.server.Id) {
			longest = l
		}
	}
	return longest
}

func (a *archive) forget(ctx actor.Context, server *actor.PID) {
	if l := a.lengths[server.Id]; l != nil {
		a.count(l, -1)
		delete(a.lengths, server.Id)
	}
	a.leave(ctx, server)
}
