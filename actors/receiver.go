package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// receiver is a server's child that writes a snapshot's file as its chunks arrive. It outlives elections: when another leader sends the
// same file, it goes on where it was.
type receiver struct {
	c        *Config
	snapshot *messages.Snapshot
	file     *persistence.SnapshotReceiver

	// next is where the file goes on, written is how much of it is in the file system.
	next, written uint64
	waiting       []*chunk
	queued        int // bytes
	writing       []*chunk
	state         atomic.Int32
	done          bool
}

// Whether the executor works on the file. Who finds it left behind removes it.
const (
	fileIdle int32 = iota
	fileBusy
	fileLeft
)

// chunk hands the receiver a chunk, and the answer's beginning.
type chunk struct {
	*messages.InstallSnapshot
	reply *messages.Header
	to    *actor.PID
}

type (
	// received: the whole file is there, verified and durable.
	received struct{ snapshot *messages.Snapshot }
	// receptionFailed: the receiver gave up.
	receptionFailed struct {
		digest string
		err    error
	}
	// chunksWritten is the executor's answer to the receiver; snapshot is that of the whole file, when it is complete.
	chunksWritten struct {
		snapshot *messages.Snapshot
		err      error
	}
)

func (r *receiver) Receive(ctx actor.Context) {
	defer withStack()
	switch m := ctx.Message().(type) {
	case *chunk:
		r.take(ctx, m)
	case *chunksWritten:
		r.wrote(ctx, m)
	case *actor.Stopping:
		r.leave()
	}
}

// queuedChunks is how many bytes of chunks may wait for the disk: twice what any leader that keeps to its window sends.
const queuedChunks = 2 * mostUnderWay

// take accepts the chunk that comes next. For any other it says where the file goes on.
func (r *receiver) take(ctx actor.Context, m *chunk) {
	if m.Offset != r.next || r.done || len(m.Data) == 0 {
		r.answer(ctx, m, r.next, nil)
		return
	}
	if r.queued+len(m.Data) > queuedChunks {
		return // it is sent again
	}
	r.next += uint64(len(m.Data))
	r.queued += len(m.Data)
	r.waiting = append(r.waiting, m)
	r.write(ctx)
}

// write obeys: create new snapshot file if first chunk (offset is 0), write data into snapshot file at given offset (rules 2 and 3).
func (r *receiver) write(ctx actor.Context) {
	if len(r.writing) > 0 || len(r.waiting) == 0 || r.done {
		return
	}
	r.writing, r.waiting = r.waiting, nil
	r.state.Store(fileBusy)
	self, root, last := ctx.Self(), ctx.ActorSystem().Root, r.next == r.snapshot.Bytes
	r.c.Run(func() {
		result := r.append(last)
		if !r.state.CompareAndSwap(fileBusy, fileIdle) {
			r.remove()
		}
		root.Send(self, result)
	})
}

// append runs on the executor.
func (r *receiver) append(last bool) *chunksWritten {
	if r.file == nil {
		file, err := r.c.Store.ReceiveSnapshot(r.c.Number, r.snapshot)
		if err != nil {
			return &chunksWritten{err: err}
		}
		r.file = file
	}
	for _, m := range r.writing {
		if _, err := r.file.Write(m.Data); err != nil {
			return &chunksWritten{err: err}
		}
	}
	if !last {
		return &chunksWritten{}
	}
	snapshot, err := r.file.Finish()
	return &chunksWritten{snapshot, err}
}

func (r *receiver) wrote(ctx actor.Context, m *chunksWritten) {
	wrote := r.writing
	r.writing = nil
	for _, c := range wrote {
		r.written += uint64(len(c.Data))
		r.queued -= len(c.Data)
	}
	r.done = m.err != nil || m.snapshot != nil
	switch {
	case m.err != nil:
		r.answer(ctx, wrote[len(wrote)-1], 0, m.err)
		ctx.Send(ctx.Parent(), &receptionFailed{string(r.snapshot.Digest), m.err})
	case m.snapshot != nil:
		ctx.Send(ctx.Parent(), &received{m.snapshot})
	default:
		r.answer(ctx, wrote[len(wrote)-1], r.written, nil)
		r.write(ctx)
	}
}

func (r *receiver) answer(ctx actor.Context, m *chunk, offset uint64, err error) {
	reply := &messages.InstallSnapshotReply{
		Header: m.reply, LastIncludedIndex: m.LastIncludedIndex, Digest: m.Digest, Offset: offset, Round: m.Round,
	}
	if err != nil {
		reply.Error = err.Error()
	}
	reply.Seal()
	if m.to != nil {
		ctx.Send(m.to, reply)
	}
}

func (r *receiver) leave() {
	if !r.state.CompareAndSwap(fileBusy, fileLeft) {
		r.c.Run(r.remove)
	}
}

// remove runs on the executor. A finished file stays: it may be in use by now.
func (r *receiver) remove() {
	if r.file != nil {
		r.file.Abort()
	}
}
