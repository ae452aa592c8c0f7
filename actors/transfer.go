package actors

import (
	"bytes"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// transfer is a snapshot on its way from a replicator to its follower. Chunks go in order. What is lost is sent again from where the
// follower goes on.
type transfer struct {
	snapshot *messages.Snapshot
	file     *openFile // nil: not open
	// begun: the uplink lets this snapshot go.
	begun bool
	// sent is where the file goes on here, acked what the follower has, heard what its last answer said.
	sent, acked, heard uint64
	underWay           []chunkSent
	// reading: a chunk was asked for, from the uplink and then from the disk.
	reading bool
	// repeats: nothing new was acknowledged since chunks were sent again.
	repeats bool
	// seen is what was acknowledged at the last heartbeat, and since when it is that much.
	seen   uint64
	seenAt time.Time
	// refused is why the follower does not take the file, empty when it does; then it is asked again after a while.
	refused string
}

type chunkSent struct {
	end   uint64
	bytes int64
	at    time.Time
}

// openFile is a snapshot's file, as works on the executor share it: the end of a transfer may come before a read that was begun.
type openFile struct {
	mu   sync.Mutex
	file *persistence.SnapshotReader // nil: closed
}

func (f *openFile) readAt(data []byte, offset uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return errEnded
	}
	_, err := f.file.ReadAt(data, int64(offset))
	return err
}

func (f *openFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.file.Close() // it was only read
	f.file = nil
}

// Mail of a transfer to its replicator, from the executor.
type (
	fileOpened struct {
		of   *transfer
		file *openFile
		err  error
	}
	chunkRead struct {
		of     *transfer
		offset uint64
		data   []byte
		err    error
	}
)

// install begins to send a snapshot. Heartbeats ask meanwhile whether the logs meet at its end.
func (r *replicator) install(ctx actor.Context, snapshot *messages.Snapshot) {
	r.settleAll(ctx)
	r.mode = installing
	r.nextIndex, r.prevTerm = snapshot.LastIncludedIndex+1, snapshot.LastIncludedTerm
	r.transfer = &transfer{snapshot: snapshot, seenAt: r.c.Clock.Now()}
	r.tellMove(ctx)
	ctx.Send(r.c.Uplink, &beginTransfer{ctx.Self()})
}

func (r *replicator) transferBegins(ctx actor.Context) {
	t := r.transfer
	if t == nil {
		ctx.Send(r.c.Uplink, &endBulk{ctx.Self()})
		return
	}
	if t.begun {
		return
	}
	t.begun = true
	c, self, root := r.c, ctx.Self(), ctx.ActorSystem().Root
	c.Run(func() {
		file, err := c.Store.OpenSnapshot(c.Number, t.snapshot)
		root.Send(self, &fileOpened{t, &openFile{file: file}, err})
	})
}

func (r *replicator) fileOpened(ctx actor.Context, m *fileOpened) {
	switch {
	case m.err != nil && m.of == r.transfer:
		r.c.Logger.Warn("a snapshot for a follower could not be opened", "follower", r.to, "err", m.err)
		r.endTransfer(ctx)
		r.probe(ctx) // there may be a newer one
	case m.err != nil:
	case m.of != r.transfer:
		r.c.Run(m.file.close)
	default:
		m.of.file = m.file
		r.sendChunks(ctx)
	}
}

// sendChunks asks for the next chunk, one at a time, until all are sent.
func (r *replicator) sendChunks(ctx actor.Context) {
	t := r.transfer
	if t == nil || t.file == nil || t.reading || t.refused != "" || t.sent >= t.snapshot.Bytes {
		return
	}
	t.reading = true
	bytes := min(uint64(r.c.Limits.ChunkBytes), t.snapshot.Bytes-t.sent)
	ctx.Send(r.c.Uplink, &draw{ctx.Self(), r.target.Address, int64(bytes), true})
}

// readChunk reads what the uplink allowed.
func (r *replicator) readChunk(ctx actor.Context, bytes int64) {
	t, offset := r.transfer, r.transfer.sent
	bytes = min(bytes, int64(t.snapshot.Bytes-offset))
	c, self, root := r.c, ctx.Self(), ctx.ActorSystem().Root
	c.Run(func() {
		data := make([]byte, bytes)
		root.Send(self, &chunkRead{t, offset, data, t.file.readAt(data, offset)})
	})
}

func (r *replicator) chunkRead(ctx actor.Context, m *chunkRead) {
	t := r.transfer
	if m.of != t {
		return
	}
	t.reading = false
	n := int64(len(m.data))
	switch {
	case m.err != nil:
		r.c.Logger.Warn("a snapshot for a follower could not be read", "follower", r.to, "err", m.err)
		r.endTransfer(ctx)
		r.probe(ctx)
		return
	case m.offset != t.sent: // it is sent again from elsewhere
		ctx.Send(r.c.Uplink, &settle{ctx.Self(), n, 0})
	default:
		t.sent += uint64(n)
		t.underWay = append(t.underWay, chunkSent{t.sent, n, r.c.Clock.Now()})
		r.sendChunk(ctx, m)
	}
	r.sendChunks(ctx)
}

func (r *replicator) sendChunk(ctx actor.Context, c *chunkRead) {
	s := r.transfer.snapshot
	m := &messages.InstallSnapshot{
		Header: r.header, LastIncludedIndex: s.LastIncludedIndex, LastIncludedTerm: s.LastIncludedTerm, Offset: c.offset,
		Bytes: s.Bytes, Digest: s.Digest, Round: r.round, Data: c.data,
	}
	m.Seal()
	ctx.Request(r.target, m)
}

// installReply handles what the follower answers to a chunk.
func (r *replicator) installReply(ctx actor.Context, m *messages.InstallSnapshotReply) {
	if !m.Intact() || !r.takes(ctx, m.Header) {
		return
	}
	r.report(ctx, m.Header, m.Round, 0)
	t := r.transfer
	if t == nil || !bytes.Equal(m.Digest, t.snapshot.Digest) {
		return
	}
	switch {
	case m.Error != "":
		if m.Error != r.refused {
			r.c.Logger.Warn("a follower does not take a snapshot", "follower", r.to, "because", m.Error)
			r.refused = m.Error
		}
		t.refused = m.Error
	case m.Done:
		r.endTransfer(ctx)
		r.probe(ctx)
	default:
		r.chunksAcknowledged(ctx, m.Offset)
	}
}

func (r *replicator) chunksAcknowledged(ctx actor.Context, offset uint64) {
	t := r.transfer
	t.heard = min(offset, t.snapshot.Bytes)
	switch {
	case t.heard > t.acked:
		t.acked, t.repeats = t.heard, false
		t.sent = max(t.sent, t.acked) // the follower has it from before
		now, n := r.c.Clock.Now(), 0
		for ; n < len(t.underWay) && t.underWay[n].end <= t.acked; n++ {
			c := t.underWay[n]
			ctx.Send(r.c.Uplink, &settle{ctx.Self(), c.bytes, max(now.Sub(c.at), 1)})
		}
		t.underWay = t.underWay[n:]
	case t.heard == t.acked && t.sent > t.acked && !t.repeats: // a chunk behind a lost one was answered
		r.sendAgain(ctx, t.acked)
	}
	r.sendChunks(ctx)
}

// sendAgain goes on from an offset, and gives up what is under way.
func (r *replicator) sendAgain(ctx actor.Context, from uint64) {
	t := r.transfer
	for _, c := range t.underWay {
		ctx.Send(r.c.Uplink, &settle{ctx.Self(), c.bytes, 0})
	}
	t.underWay, t.repeats, t.acked, t.sent = nil, true, from, from
}

// pushTransfer looks at each heartbeat whether the transfer moves. When nothing was acknowledged for an election timeout, it goes on from
// where the follower last said. When that has all, the last chunk asks what became of it.
func (r *replicator) pushTransfer(ctx actor.Context) {
	t := r.transfer
	if t == nil || t.file == nil {
		return
	}
	now := r.c.Clock.Now()
	if t.acked != t.seen {
		t.seen, t.seenAt = t.acked, now
		r.tellMove(ctx)
		return
	}
	if now.Sub(t.seenAt) < r.c.Timing.Election {
		return
	}
	t.seenAt, t.refused = now, ""
	lastChunk := (t.snapshot.Bytes - 1) / uint64(r.c.Limits.ChunkBytes) * uint64(r.c.Limits.ChunkBytes)
	r.sendAgain(ctx, min(t.heard, lastChunk))
	t.seen = t.acked
	r.sendChunks(ctx)
}

// endTransfer gives back what the transfer has of the uplink, and closes the file.
func (r *replicator) endTransfer(ctx actor.Context) {
	if t := r.transfer; t != nil {
		if t.file != nil {
			r.c.Run(t.file.close)
		}
		r.transfer = nil
		ctx.Send(r.c.Uplink, &endBulk{ctx.Self()})
	}
}

// moved tells the server what its replicator does.
type moved struct {
	member   string
	term     uint64
	mode     mode
	progress float64 // of a transfer, from 0 to 1
}

func (r *replicator) tellMove(ctx actor.Context) {
	m := &moved{member: r.to, term: r.term, mode: r.mode}
	if t := r.transfer; t != nil && t.snapshot.Bytes > 0 {
		m.progress = float64(t.acked) / float64(t.snapshot.Bytes)
	}
	ctx.Send(ctx.Parent(), m)
}
