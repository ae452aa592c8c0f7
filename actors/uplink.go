package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// uplink is the one actor of a node that says when bulk may be sent: chunks of snapshots, and entries that laggards get from the store. All
// groups share one stream to each peer, and the heartbeats of one wait behind the bulk of another. So it bounds what is under way to each
// peer, over all groups, to what the link delivers in about 50 ms. It also bounds how many snapshots leave the node at a time, and how
// fast.
type uplink struct {
	clock Clock
	least int64 // bytes that may be under way in any case
	rate  int64 // bytes a second of all snapshots together; 0: unbounded

	links     map[string]*bulkLink // by peer
	accounts  map[string]*account  // by sender
	transfers []*actor.PID         // those that send a snapshot
	waiting   []*actor.PID         // those that would like to
	free      time.Time            // when the rate lets the next chunk go
	sleeping  bool
}

const (
	mostUnderWay = 4 << 20
	// bulkDelay is how long bulk may be under way.
	bulkDelay = 50 * time.Millisecond
	// mostTransfers is how many snapshots leave a node at a time.
	mostTransfers = 2
)

// bulkLink is the way to one peer.
type bulkLink struct {
	least, window, underWay int64
	draws                   []*draw // that wait, oldest first
	shrunkAt                time.Time
}

// account is what one sender has under way.
type account struct {
	peer  string
	bytes int64
}

// Mail of the uplink.
type (
	// beginTransfer asks to send a snapshot, transferBegins allows it.
	beginTransfer  struct{ from *actor.PID }
	transferBegins struct{}
	// draw asks to send bytes to a peer, drawn allows it.
	draw struct {
		from     *actor.PID
		peer     string
		bytes    int64
		snapshot bool
	}
	drawn struct {
		bytes    int64
		snapshot bool
	}
	// settle says that bytes are not under way any more: they arrived after a while; 0: they did not leave, or were lost.
	settle struct {
		from  *actor.PID
		bytes int64
		after time.Duration
		// synced: the while has a sync of the receiver's disk in it.
		synced bool
	}
	// endBulk: the sender has nothing under way any more, and wants nothing.
	endBulk struct{ from *actor.PID }
	// rateAllows wakes the uplink.
	rateAllows struct{}
)

func startUplink(root *actor.RootContext, c SharedConfig, props ...actor.PropsOption) (*actor.PID, error) {
	u := &uplink{
		clock: c.Clock, rate: c.TransferRate, least: int64(c.ChunkBytes), links: map[string]*bulkLink{}, accounts: map[string]*account{},
	}
	return spawnShared(root, "uplink", u, c.Broken, props)
}

func (u *uplink) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *beginTransfer:
		u.waiting = append(u.waiting, m.from)
		u.begin(ctx)
	case *draw:
		l := u.link(m.peer)
		l.draws = append(l.draws, m)
		u.serve(ctx, l)
	case *settle:
		u.settle(ctx, m)
	case *endBulk:
		u.end(ctx, m.from)
	case rateAllows:
		u.sleeping = false
		u.serveAll(ctx)
	}
}

func (u *uplink) begin(ctx actor.Context) {
	for len(u.transfers) < mostTransfers && len(u.waiting) > 0 {
		next := u.waiting[0]
		u.transfers, u.waiting = append(u.transfers, next), u.waiting[1:]
		ctx.Send(next, &transferBegins{})
	}
}

func (u *uplink) link(peer string) *bulkLink {
	l := u.links[peer]
	if l == nil {
		l = &bulkLink{least: u.least, window: u.least}
		u.links[peer] = l
	}
	return l
}

// serve allows what has room, in order; chunks of snapshots when the rate allows it, too. What is larger than the window goes alone.
func (u *uplink) serve(ctx actor.Context, l *bulkLink) {
	for i := 0; i < len(l.draws); {
		d := l.draws[i]
		if l.underWay > 0 && l.underWay+d.bytes > l.window {
			return
		}
		if d.snapshot && !u.paced(ctx, d.bytes) {
			i++
			continue
		}
		l.draws = slices.Delete(l.draws, i, i+1)
		l.underWay += d.bytes
		a := u.accounts[d.from.Id]
		if a == nil {
			a = &account{peer: d.peer}
			u.accounts[d.from.Id] = a
		}
		a.bytes += d.bytes
		ctx.Send(d.from, &drawn{d.bytes, d.snapshot})
	}
}

// paced says whether the rate lets a chunk go now; otherwise the uplink wakes when it does.
func (u *uplink) paced(ctx actor.Context, bytes int64) bool {
	if u.rate <= 0 {
		return true
	}
	now := u.clock.Now()
	if wait := u.free.Sub(now); wait > 0 {
		if !u.sleeping {
			u.sleeping = true
			u.clock.After(wait, ctx.Self(), rateAllows{})
		}
		return false
	}
	u.free = now.Add(time.Duration(float64(bytes) / float64(u.rate) * float64(time.Second)))
	return true
}

func (u *uplink) serveAll(ctx actor.Context) {
	peers := make([]string, 0, len(u.links))
	for peer := range u.links {
		peers = append(peers, peer)
	}
	slices.Sort(peers)
	for _, peer := range peers {
		u.serve(ctx, u.links[peer])
	}
}

func (u *uplink) settle(ctx actor.Context, m *settle) {
	a := u.accounts[m.from.Id]
	if a == nil {
		return
	}
	bytes := min(m.bytes, a.bytes)
	l := u.link(a.peer)
	if m.after > 0 {
		l.adapt(u.clock.Now(), bytes, m)
	}
	a.bytes -= bytes
	l.underWay -= bytes
	u.serve(ctx, l)
}

// adapt widens the window while it is used up and all arrives soon, and narrows it to what arrives in time. A sync says little of the link:
// for it the window stays at four times the least.
func (l *bulkLink) adapt(now time.Time, bytes int64, m *settle) {
	least := l.least
	if m.synced {
		least *= 4
	}
	switch {
	case l.window < least, m.after <= bulkDelay && 2*l.underWay >= l.window:
		l.window = min(l.window+bytes, mostUnderWay)
	case m.after > bulkDelay && now.Sub(l.shrunkAt) > m.after: // once for all that was under way
		l.window = max(int64(float64(l.window)*float64(bulkDelay)/float64(m.after)), least)
		l.shrunkAt = now
	}
}

func (u *uplink) end(ctx actor.Context, from *actor.PID) {
	is := func(p *actor.PID) bool { return p.Id == from.Id }
	u.transfers, u.waiting = slices.DeleteFunc(u.transfers, is), slices.DeleteFunc(u.waiting, is)
	u.begin(ctx)
	for _, l := range u.links {
		l.draws = slices.DeleteFunc(l.draws, func(d *draw) bool { return is(d.from) })
	}
	if a := u.accounts[from.Id]; a != nil {
		delete(u.accounts, from.Id)
		u.link(a.peer).underWay -= a.bytes
	}
	u.serveAll(ctx)
}
