package actors

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// replicator is the leader's child for one follower: it owns nextIndex. It probes until it knows where the two logs meet, then
// streams; a refusal makes it probe again. What the follower needs of a log that was cut, it gets as a snapshot. The replicator keeps
// nothing durable, and may be restarted.
//
//	probing ──success──> streaming <──fetched── loading
//	   ↑  └──refusal──┐     │ │                    ↑ │
//	   │              ↓     │ └─what the log's end─┘ │
//	   ├─fetched── locating <── refusal  does not have│
//	   │              └── it was cut ──> installing <─┘
//	   └────────── the snapshot is there ────┘
type replicator struct {
	c      *Config
	to     string // the follower's id
	target *actor.PID
	header *messages.Header
	term   uint64
	// storeID is the data directory that the follower answers from; 0: not heard yet.
	storeID uint64

	// nextIndex is the index of the next entry to send; prevTerm is the term of the entry before it.
	nextIndex, prevTerm uint64
	// matchIndex is the highest index known to be replicated on the follower.
	matchIndex uint64
	mode       mode
	inflight   window
	loads      *fetched  // what is to be read from the store, once the uplink allows it
	transfer   *transfer // while installing
	bulk       bool      // the uplink was asked for something

	// What the server last told: the end of its log, its commitIndex, its round, and until when heartbeats may be sent.
	last, commit, round uint64
	permitted           time.Time
	promise             time.Duration // that is asked for; 0: none
	heartbeats          heartbeats
	answered            uint64 // the last round that the follower answered
	promised            uint64 // the last in which it promised what was asked for
	sentAt              time.Time
	refused             string // why the follower takes nothing, empty when it does
}

// mode is what a replicator does.
type mode uint8

const (
	// probing asks whether the logs meet before nextIndex.
	probing mode = iota
	// locating: they do not, and the server is asked where they may.
	locating
	// streaming sends entries as the leader appends them.
	streaming
	// loading streams what the server is asked for.
	loading
	// installing sends a snapshot.
	installing
)

// String is what status says: for whoever looks from outside, a replicator probes until it streams.
func (m mode) String() string {
	switch m {
	case probing, locating:
		return "probing"
	case installing:
		return "installing"
	}
	return "streaming"
}

// heartbeats is whether they are sent.
type heartbeats uint8

const (
	// beating: when nothing else was sent for an interval.
	beating heartbeats = iota
	// pausing: the next is left out.
	pausing
	// asleep: it was, and no timer runs.
	asleep
)

// idle wakes a replicator, and names it: another one may have been started in its place.
type idle struct{ of *replicator }

func (r *replicator) Receive(ctx actor.Context) {
	defer withStack()
	switch m := ctx.Message().(type) {
	case *actor.Started:
		// Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during idle periods to prevent
		// election timeouts (section 5.2).
		r.probe(ctx)
		r.c.Clock.After(r.c.Timing.Heartbeat, ctx.Self(), idle{r})
	case *permit:
		r.renew(ctx, m)
	case pause:
		r.pause()
	case *appended:
		r.push(ctx, m)
	case *fetched:
		r.resume(ctx, m)
	case *messages.AppendEntriesReply:
		r.reply(ctx, m)
	case *messages.InstallSnapshotReply:
		r.installReply(ctx, m)
	case *drawn:
		r.drawn(ctx, m)
	case *transferBegins:
		r.transferBegins(ctx)
	case *fileOpened:
		r.fileOpened(ctx, m)
	case *chunkRead:
		r.chunkRead(ctx, m)
	case *actor.Stopping, *actor.Restarting:
		r.endTransfer(ctx)
		if r.bulk {
			ctx.Send(r.c.Uplink, &endBulk{ctx.Self()})
		}
	case idle:
		if m.of == r {
			r.heartbeat(ctx)
		}
	}
}

func (r *replicator) renew(ctx actor.Context, m *permit) {
	r.round, r.commit, r.last, r.header = m.round, m.commit, max(r.last, m.last), r.address(m.header)
	r.permitted, r.promise = m.until, m.promise
	if r.heartbeats == asleep {
		r.c.Clock.After(r.c.Timing.Heartbeat, ctx.Self(), idle{r})
	}
	r.heartbeats = beating
	if m.now && r.c.Clock.Now().Before(r.permitted) {
		r.send(ctx, nil)
	}
	r.pump(ctx)
}

func (r *replicator) pause() {
	if r.heartbeats == beating {
		r.heartbeats = pausing
	}
}

// address copies a header and names the receiver: messages on their way are never changed.
func (r *replicator) address(h *messages.Header) *messages.Header {
	return &messages.Header{
		ClusterId: h.ClusterId, Group: h.Group, From: h.From, To: r.to, StoreId: h.StoreId, Term: h.Term, ToStoreId: r.storeID,
		Level: h.Level,
	}
}

// heartbeat sends an empty AppendEntries when nothing else was sent for an interval (section 5.2). It names the last entry sent,
// so that the follower's answer shows a loss.
func (r *replicator) heartbeat(ctx actor.Context) {
	if r.heartbeats != beating {
		r.heartbeats = asleep
		return
	}
	now := r.c.Clock.Now()
	wait := r.c.Timing.Heartbeat - now.Sub(r.sentAt)
	if wait <= 0 {
		if now.Before(r.permitted) {
			r.send(ctx, nil)
		}
		wait = r.c.Timing.Heartbeat
	}
	r.giveUpBulk(ctx, now.Add(-4*r.c.Timing.Election))
	r.pushTransfer(ctx)
	r.c.Clock.After(wait, ctx.Self(), idle{r})
}

// push sends entries that the leader just appended, if they are the follower's next and the window is open.
func (r *replicator) push(ctx actor.Context, m *appended) {
	r.commit = max(r.commit, m.commit)
	r.last = max(r.last, m.prevIndex+uint64(len(m.entries)))
	if r.mode == streaming && m.prevIndex+1 == r.nextIndex {
		r.stream(ctx, m.entries, false)
	}
	r.pump(ctx)
}

// pump asks for entries while the follower lacks some and the window is open: if last log index ≥ nextIndex for a follower, send
// AppendEntries RPC with log entries starting at nextIndex (section 5.3).
func (r *replicator) pump(ctx actor.Context) {
	if r.mode == streaming && r.nextIndex <= r.last && r.open() {
		r.fetch(ctx, loading, &fetch{index: r.nextIndex - 1, maxTerm: maxIndex})
	}
}

func (r *replicator) fetch(ctx actor.Context, meanwhile mode, m *fetch) {
	r.mode = meanwhile
	m.term, m.replicator, m.member = r.term, ctx.Self(), r.to
	ctx.Send(ctx.Parent(), m)
}

// resume goes on with what the server fetched: a new place to probe, or the next entries.
func (r *replicator) resume(ctx actor.Context, m *fetched) {
	switch {
	case r.mode != locating && r.mode != loading || r.loads != nil: // the answer to a replicator that panicked
		return
	case m.snapshot != nil:
		r.install(ctx, m.snapshot)
		return
	case r.mode == locating:
		r.nextIndex, r.prevTerm = m.prevIndex+1, m.prevTerm
		r.probe(ctx)
		return
	case m.inStore && m.prevIndex+1 == r.nextIndex:
		r.loads, r.bulk = m, true
		ctx.Send(r.c.Uplink, &draw{ctx.Self(), r.target.Address, int64(min(r.c.Limits.MessageBytes, r.c.Limits.ChunkBytes)), false})
		return
	}
	r.mode = streaming
	if m.prevIndex+1 == r.nextIndex {
		r.stream(ctx, m.entries, false)
		if len(m.entries) == 0 {
			return
		}
	}
	r.pump(ctx)
}

// drawn: the uplink lets bulk go.
func (r *replicator) drawn(ctx actor.Context, m *drawn) {
	switch {
	case m.snapshot && r.transfer != nil && r.transfer.reading:
		r.readChunk(ctx, m.bytes)
	case !m.snapshot && r.loads != nil:
		r.load(ctx, m.bytes)
	default: // what asked for it was given up
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: m.bytes})
	}
}

// load streams older entries from the store.
func (r *replicator) load(ctx actor.Context, allowed int64) {
	m := r.loads
	r.loads = nil
	if r.mode != loading {
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: allowed})
		return
	}
	r.mode = streaming
	entries := r.read(m, int(allowed))
	under := r.inflight.bytes
	r.stream(ctx, entries, true)
	if rest := allowed - int64(r.inflight.bytes-under); rest > 0 {
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: rest})
	}
	if len(entries) > 0 {
		r.pump(ctx)
	}
}

// read takes older entries from the store. It gives none if the log was cut or overwritten under a leadership that is over.
func (r *replicator) read(m *fetched, most int) []messages.EncodedEntry {
	prevTerm, entries, err := r.c.Store.Read(r.c.Number, m.prevIndex+1, m.last+1, most)
	if errors.Is(err, persistence.ErrCompacted) {
		return nil
	}
	if err != nil {
		r.c.Logger.Error("entries for a follower could not be read from the store", "follower", r.to, "from", m.prevIndex+1, "err", err)
		return nil
	}
	if prevTerm > r.term || len(entries) == 0 || lastTermOf(entries) > r.term {
		return nil
	}
	r.prevTerm = prevTerm
	return entries
}

func lastTermOf(entries []messages.EncodedEntry) uint64 {
	e, err := messages.DecodeEntry(entries[len(entries)-1])
	if err != nil {
		return maxIndex
	}
	return e.Term
}

// stream sends entries from nextIndex on, in messages of bounded size, while the window is open. Bulk is what the uplink allowed.
func (r *replicator) stream(ctx actor.Context, entries []messages.EncodedEntry, bulk bool) {
	for len(entries) > 0 && r.open() {
		n, bytes := 0, 0
		for n < len(entries) && (n == 0 || bytes+len(entries[n]) <= r.c.Limits.MessageBytes) {
			bytes += len(entries[n])
			n++
		}
		r.send(ctx, entries[:n:n])
		r.nextIndex += uint64(n)
		r.prevTerm = lastTermOf(entries[:n])
		r.inflight.push(inflightMessage{r.nextIndex - 1, bytes, bulk, r.sentAt})
		entries = entries[n:]
	}
}

// open says whether more may be sent. A follower that refused what it was sent gets one message at a time, until it takes one.
func (r *replicator) open() bool {
	return r.inflight.open(r.c.Limits) && (r.refused == "" || len(r.inflight.sent) == 0)
}

// probe asks whether the logs meet before nextIndex.
func (r *replicator) probe(ctx actor.Context) {
	r.mode = probing
	r.settleAll(ctx)
	r.send(ctx, nil)
}

// giveUpBulk gives back to others what the follower will not acknowledge.
func (r *replicator) giveUpBulk(ctx actor.Context, before time.Time) {
	if bulk := r.inflight.giveUp(before); bulk > 0 {
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: bulk})
	}
}

// settleAll gives up what is under way.
func (r *replicator) settleAll(ctx actor.Context) {
	if bulk := r.inflight.clear(); bulk > 0 {
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: bulk})
	}
}

func (r *replicator) send(ctx actor.Context, entries []messages.EncodedEntry) {
	m := &messages.AppendEntries{
		Header: r.header, PrevLogIndex: r.nextIndex - 1, PrevLogTerm: r.prevTerm, Entries: entries, LeaderCommit: r.commit, Round: r.round,
		LeaseMs: uint64(r.promise / time.Millisecond),
	}
	if len(entries) == 0 {
		m.ClientAddress = r.c.ClientAddress
	}
	m.Seal()
	r.sentAt = r.c.Clock.Now()
	ctx.Request(r.target, m)
}

// reply handles what the follower answers to this leadership.
func (r *replicator) reply(ctx actor.Context, m *messages.AppendEntriesReply) {
	if !m.Intact() || !r.takes(ctx, m.Header) {
		return
	}
	r.transfer.hear(m.Error != "", r.c.Clock.Now())
	switch {
	case m.Error != "":
		if m.Error != r.refused {
			r.c.Logger.Warn("a follower takes nothing", "follower", r.to, "because", m.Error)
			r.refused = m.Error
		}
		r.giveUpBulk(ctx, r.c.Clock.Now())
	default:
		if m.MatchIndex > r.matchIndex {
			r.refused = ""
		}
		if m.Promised && m.Round <= r.round {
			r.promised = max(r.promised, m.Round)
		}
		r.report(ctx, m.Header, m.Round, m.MatchIndex)
		switch {
		case m.Success:
			r.accepted(ctx, m)
		case m.NeedsSnapshot && r.mode != installing && r.mode != locating:
			r.loads = nil
			r.settleAll(ctx)
			r.fetch(ctx, locating, &fetch{needsSnapshot: true})
		default:
			r.rejected(ctx, m)
		}
	}
}

// takes says whether a reply is of this follower to this leadership.
func (r *replicator) takes(ctx actor.Context, h *messages.Header) bool {
	if !r.concerns(h) {
		return false
	}
	if !r.admits(h) {
		ctx.Send(ctx.Parent(), &contact{header: h}) // to be warned of; nothing of it counts here
		return false
	}
	r.storeID = h.StoreId
	if h.Term > r.term {
		r.permitted = time.Time{}
		ctx.Send(ctx.Parent(), &higherTerm{h.Term})
	}
	return h.Term == r.term // a reply has the term of its question: one of an earlier term answers somebody else
}

func (r *replicator) concerns(h *messages.Header) bool {
	return h != nil && h.Group == r.c.Group && h.From == r.to && h.To == r.c.ID
}

// admits: see server. What another cluster or data directory answers must not be mixed with what the follower does.
func (r *replicator) admits(h *messages.Header) bool {
	sameCluster := h.ClusterId == 0 || r.header.ClusterId == 0 || h.ClusterId == r.header.ClusterId
	return sameCluster && h.StoreId != 0 && (r.storeID == 0 || h.StoreId == r.storeID) && h.Term <= maxIndex
}

// report tells the server what is new to it.
func (r *replicator) report(ctx actor.Context, h *messages.Header, round, match uint64) {
	if round <= r.answered && match <= r.matchIndex || round > r.round {
		return
	}
	r.answered = max(r.answered, round)
	r.matchIndex = max(r.matchIndex, min(match, r.nextIndex-1))
	ctx.Send(ctx.Parent(), &contact{header: h, round: r.answered, match: r.matchIndex, promised: r.promised})
}

// accepted: if successful, update nextIndex and matchIndex for follower (section 5.3). nextIndex ran ahead when the entries left;
// matchIndex rose in report.
func (r *replicator) accepted(ctx actor.Context, m *messages.AppendEntriesReply) {
	if bulk, since := r.inflight.acknowledge(m.MatchIndex); bulk > 0 {
		ctx.Send(r.c.Uplink, &settle{from: ctx.Self(), bytes: bulk, after: max(r.c.Clock.Now().Sub(since), 1), synced: true})
	}
	switch {
	case r.mode == installing && r.nextIndex > 1 && m.MatchIndex+1 >= r.nextIndex: // the follower has all of the snapshot
		r.endTransfer(ctx)
		fallthrough
	case r.mode == probing:
		r.mode = streaming
		r.tellMove(ctx)
	}
	r.pump(ctx)
}

// rejected: if AppendEntries fails because of log inconsistency, decrement nextIndex and retry (section 5.3), where the logs may
// meet. A refusal that is older than an acknowledgement says nothing.
func (r *replicator) rejected(ctx actor.Context, m *messages.AppendEntriesReply) {
	// What waits for the uplink is given up: what was lost may be what it waits for.
	busy := r.mode == locating || r.mode == loading && r.loads == nil || r.mode == installing
	if busy || m.ConflictIndex < r.matchIndex || m.ConflictIndex >= r.nextIndex {
		return
	}
	r.loads = nil
	r.settleAll(ctx)
	r.fetch(ctx, locating, &fetch{index: m.ConflictIndex, maxTerm: m.ConflictTerm})
}
