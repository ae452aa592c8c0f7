package bench

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/cluster"
	"github.com/troupe-raft/troupe/cluster/client"
	"github.com/troupe-raft/troupe/cluster/kv"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/host"
	"github.com/troupe-raft/troupe/cmd/troupe/internal/load"
)

// Mail measures an Offer whose operations are mail to the groups' actors, and the replies to it. While one is under way it is a
// few hundred bytes and no goroutine, so that what is measured is the cluster, not how Go schedules a hundred thousand goroutines.
type Mail struct {
	Local Local
	Offer
}

// Check implements Mode.
func (m Mail) Check() error {
	return cmp.Or(m.Local.Check(), m.Offer.check())
}

// Run implements Mode.
func (m Mail) Run(ctx context.Context, out Output) error {
	s, err := m.Local.openWith(ctx, out, newApps(m.Local.Nodes))
	if err != nil {
		return err
	}
	defer s.close()
	return m.measure(ctx, out, s, m.starter(s))
}

// newApps are actor systems of an application, one for each node: mail is sent from them.
func newApps(nodes int) []*actor.ActorSystem {
	apps := make([]*actor.ActorSystem, nodes)
	for i := range apps {
		apps[i] = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(slog.DiscardHandler)
		}))
	}
	return apps
}

func (m Mail) starter(s *system) load.Starter {
	do := m.caller(s)
	offices := map[*host.Node]*postOffice{}
	return func(random *rand.Rand, done func(error)) {
		to := s.targets[random.IntN(len(s.targets))].(*localTarget)
		node := to.found.Load().node
		if offices[node] == nil { // starters run in one goroutine
			offices[node] = &postOffice{app: s.cluster.App(node)}
		}
		b := offices[node].box(node.Parts[to.group], func(err error) { done(to.follow(err)) })
		if err := do(context.Background(), b, random); !errors.Is(err, errMailed) {
			b.end(err)
		}
	}
}

// errMailed ends a call whose answer comes by mail.
var errMailed = errors.New("mailed")

// postOffice has the boxes of one actor system.
type postOffice struct {
	app  *actor.ActorSystem
	mu   sync.Mutex
	free []*box
}

func (p *postOffice) box(group *cluster.Group, done func(error)) *box {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &box{office: p}
	if last := len(p.free) - 1; last >= 0 {
		b, p.free = p.free[last], p.free[:last]
	} else {
		b.pid, _ = p.app.ProcessRegistry.Add(b, p.app.ProcessRegistry.NextID())
		b.kv = kv.Open(b)
	}
	b.group, b.done = group, done
	return b
}

// box is where the answer to one operation arrives, and the group to the map that encodes it: instead of waiting, it mails.
type box struct {
	office *postOffice
	pid    *actor.PID
	kv     *kv.KV
	group  *cluster.Group
	done   func(error)
}

func (b *box) put(ctx context.Context, key string, value []byte) error {
	_, err := b.kv.Put(ctx, key, value)
	return err
}

func (b *box) get(ctx context.Context, how actors.Consistency, key string) error {
	_, _, _, err := b.kv.GetAs(ctx, cluster.ReadOptions{Read: actors.Read{Consistency: how}}, key)
	return err
}

func (b *box) leader(context.Context) string { return "" }

// Propose implements kv.Group.
func (b *box) Propose(_ context.Context, command []byte, _ ...cluster.ProposeOption) (cluster.Result, error) {
	b.office.app.Root.RequestWithCustomSender(b.group.PID(), &cluster.Propose{Command: command}, b.pid)
	return cluster.Result{}, errMailed
}

// Query implements kv.Group.
func (b *box) Query(_ context.Context, how cluster.ReadOptions, query []byte) (cluster.Result, error) {
	var mail any = &cluster.Read{Query: query}
	if how != (cluster.ReadOptions{}) {
		mail = &client.Query{Query: query, Read: client.Read{Consistency: how.Consistency}}
	}
	b.office.app.Root.RequestWithCustomSender(b.group.PID(), mail, b.pid)
	return cluster.Result{}, errMailed
}

// SendUserMessage implements actor.Process. Mail to a node that is gone comes back as a dead letter.
func (b *box) SendUserMessage(_ *actor.PID, message any) {
	switch m := actor.UnwrapEnvelopeMessage(message).(type) {
	case *cluster.Reply:
		b.end(m.Err)
	case *actor.DeadLetterResponse:
		b.end(actors.ErrClosed)
	}
}

// SendSystemMessage implements actor.Process.
func (b *box) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (b *box) Stop(*actor.PID) {}

// end gives the box back. Mail that nobody waits for any more is ignored.
func (b *box) end(err error) {
	b.office.mu.Lock()
	done := b.done
	if b.done = nil; done != nil {
		b.office.free = append(b.office.free, b)
	}
	b.office.mu.Unlock()
	if done != nil {
		done(err)
	}
}
