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
	err      error     // why it could not be opened
	// begun: the uplink lets this snapshot go. It was asked unless the transfer rests.
	begun bool
	// rests until, because the follower did not take what was sent; it refused so many times.
	rests    time.Time
	refusals int
	// failed: the follower refused all else, too.
	failed bool
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
	before := r.transfer
	r.transfer = &transfer{snapshot: snapshot, seenAt: r.c.Clock.Now()}
	r.tellMove(ctx)
	if before == nil {
		ctx.Send(r.c.Uplink, &beginTransfer{ctx.Self()})
		return
	}
	r.insteadOf(ctx, before)
}

// insteadOf goes on in the place of a transfer whose file could not be opened.
func (r *replicator) insteadOf(ctx actor.Context, before *transfer) {
	t := r.transfer
	t.begun, t.rests, t.refusals, t.failed = before.begun, before.rests, before.refusals, before.failed
	switch {
	case bytes.Equal(t.snapshot.Digest, before.snapshot.Digest):
		r.breakOff(ctx, before.err)
	case t.begun:
		r.openSnapshot(ctx)
	}
}

func (r *replicator) transferBegins(ctx actor.Context) {
	t := r.transfer
	if t == nil || t.begun {
		return // what had asked for it has ended, and said so
	}
	t.begun, t.seenAt = true, r.c.Clock.Now()
	if t.file != nil {
		r.sendAgain(ctx, t.again(r.c.Limits.ChunkBytes))
		r.sendChunks(ctx)
		return
	}
	r.openSnapshot(ctx)
}

func (r *replicator) openSnapshot(ctx actor.Context) {
	t, c, self, root := r.transfer, r.c, ctx.Self(), ctx.ActorSystem().Root
	c.Run(func() {
		file, err := c.Store.OpenSnapshot(c.Number, t.snapshot)
		root.Send(self, &fileOpened{t, &openFile{file: file}, err})
	})
}

// fileOpened: a file may be gone, because a newer snapshot took its place while the transfer waited for its turn. The transfer goes on
// with that one. At the end of the queue it would find the next one gone.
func (r *replicator) fileOpened(ctx actor.Context, m *fileOpened) {
	late := m.of != r.transfer || m.of.file != nil
	switch {
	case late && m.err == nil:
		r.c.Run(m.file.close)
	case late:
	case m.err != nil:
		m.of.err = m.err
		r.fetch(ctx, locating, &fetch{needsSnapshot: true})
	default:
		m.of.file = m.file
		r.sendChunks(ctx)
	}
}

// breakOff ends a transfer whose file cannot be read. The next heartbeat finds out what the follower needs.
func (r *replicator) breakOff(ctx actor.Context, err error) {
	if why := err.Error(); why != r.refused {
		r.c.Logger.Warn("a snapshot for a follower could not be read", "follower", r.to, "err", err)
		r.refused = why
	}
	r.endTransfer(ctx)
	r.mode = probing
	r.tellMove(ctx)
}

// sendChunks asks for the next chunk, one at a time, until all are sent.
func (r *replicator) sendChunks(ctx actor.Context) {
	t := r.transfer
	if t == nil || t.file == nil || !t.begun || t.reading || t.sent >= t.snapshot.Bytes {
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
		r.breakOff(ctx, m.err)
		return
	case m.offset != t.sent: // it is sent again from elsewhere
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: n})
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
	switch {
	case t == nil:
	case m.Error != "":
		if m.Error != r.refused {
			r.c.Logger.Warn("a follower does not take a snapshot", "follower", r.to, "because", m.Error)
			r.refused = m.Error
		}
		if t.heard = 0; t.begun { // several chunks are refused at a time
			r.rest(ctx, min(firstRetry<<min(t.refusals, 10), lastRetry))
			t.refusals++
		}
	case !bytes.Equal(m.Digest, t.snapshot.Digest): // it told that it is there
	case m.Done:
		r.endTransfer(ctx)
		r.probe(ctx)
		r.tellMove(ctx)
	default:
		r.chunksAcknowledged(ctx, m.Offset)
	}
}

func (r *replicator) chunksAcknowledged(ctx actor.Context, offset uint64) {
	t := r.transfer
	t.heard = min(offset, t.snapshot.Bytes)
	switch {
	case t.heard > t.acked:
		t.acked, t.repeats, t.refusals = t.heard, false, 0
		t.sent = max(t.sent, t.acked) // the follower has it from before
		now, n := r.c.Clock.Now(), 0
		for ; n < len(t.underWay) && t.underWay[n].end <= t.acked; n++ {
			c := t.underWay[n]
			ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: c.bytes, after: max(now.Sub(c.at), 1)})
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
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: c.bytes})
	}
	t.underWay, t.repeats, t.acked, t.sent = nil, true, from, from
}

// pushTransfer looks at each heartbeat whether the transfer moves. One that does not lets others go first, and then goes on from where the
// follower last said.
func (r *replicator) pushTransfer(ctx actor.Context) {
	t := r.transfer
	if t == nil {
		return
	}
	now := r.c.Clock.Now()
	switch {
	case !t.rests.IsZero() && !now.Before(t.rests):
		t.rests = time.Time{}
		ctx.Send(r.c.Uplink, &beginTransfer{ctx.Self()})
	case !t.begun || t.file == nil:
	case t.acked != t.seen:
		t.seen, t.seenAt = t.acked, now
		r.tellMove(ctx)
	case now.Sub(t.seenAt) >= r.c.Timing.Election:
		r.rest(ctx, 0)
	}
}

// hear takes what the follower says of its health. The transfer to one that is well again need not wait any longer.
func (t *transfer) hear(failed bool, now time.Time) {
	if t == nil {
		return
	}
	if t.failed && !failed {
		t.refusals = 0
		if !t.rests.IsZero() {
			t.rests = now
		}
	}
	t.failed = failed
}

// rest gives the transfer's place to another, and asks for the next after a while.
func (r *replicator) rest(ctx actor.Context, wait time.Duration) {
	t := r.transfer
	if !t.begun {
		return
	}
	t.begun, t.reading, t.underWay = false, false, nil
	t.rests = r.c.Clock.Now().Add(wait)
	ctx.Send(r.c.Uplink, &endBulk{ctx.Self()})
}

// again is where a transfer goes on after it rested. When the follower has all, the last chunk asks what became of it.
func (t *transfer) again(chunk int) uint64 {
	lastChunk := (t.snapshot.Bytes - 1) / uint64(chunk) * uint64(chunk)
	return min(t.heard, lastChunk)
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
