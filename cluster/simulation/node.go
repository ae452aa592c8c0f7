package simulation

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/orcaman/concurrent-map"

	"github.com/troupe-raft/troupe/actors"
	"github.com/troupe-raft/troupe/messages"
	"github.com/troupe-raft/troupe/persistence"
)

// A registry of 1024 maps with 32 shards each takes longer to make than a node runs for.
func init() { cmap.SHARD_COUNT = 1 }

// node is one member: what is left of it over restarts, and its present incarnation.
type node struct {
	w       *world
	place   int
	id      string
	address string

	up          bool
	paused      bool
	resumed     time.Duration // when it last was
	stopping    bool
	panics      moment // when the next of its actors that has a message panics
	panicked    bool   // one of them did, or a state machine: what that breaks may not have been told yet
	incarnation int
	level       uint32 // the newest feature level that its version of troupe knows
	broken      string // why it stays down for good
	wiped       bool   // it runs from an empty disk, and does not count any more
	rejoined    bool   // it came with an empty disk while groups counted another
	drift       float64
	jumped      time.Duration

	storeID uint64 // of its data directory
	// hints are where the operator who started the node said that the members are.
	hints []actors.Member
	// joins are the cluster ids of groups that the node joins, by group: it has founded none of them.
	joins    map[int]uint64
	system   *actor.ActorSystem
	store    *persistence.Store
	shared   actors.Shared
	doors    []*actors.Door
	machines []*witness
	seen     []seen     // by group
	boxes    []*mailbox // the journal's is the first
	servers  []*mailbox // by group

	disk *disk
}

const directory = "data"

func (n *node) start() {
	n.incarnation++
	n.up, n.paused, n.stopping, n.panics, n.panicked = true, false, false, never, false
	n.boxes, n.servers, n.doors, n.machines = nil, nil, nil, nil
	n.hints = slices.Clone(n.w.members)
	n.seen = make([]seen, n.w.options.Groups)
	for g := range n.seen {
		n.seen[g].prevotes = map[uint64]nodeSet{}
	}
	n.system = actor.NewActorSystemWithConfig(actor.Configure(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
		actor.WithDeadLetterThrottleInterval(time.Microsecond), actor.WithDeadLetterThrottleCount(0)))
	n.system.ID = n.id
	n.system.ProcessRegistry.Address = n.address
	n.system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) { return wire{n}, true })
	if err := n.open(); err != nil {
		n.refused(err)
	} else if n.w.options.churning() {
		n.tellAddress(n.incarnation)
	}
}

func (n *node) open() error {
	n.disk.breaks(none)
	n.disk.failed = make(chan struct{})
	failed := n.disk.failed
	store, err := persistence.Open(directory, persistence.Options{
		FS: files{n.disk.fs, n.disk}, NodeID: n.id, Cluster: "simulation", StoreID: n.w.rng.Uint64() | 1, MemTableSize: 64 << 10,
		OnFailure: func(error) { close(failed) },
		Now:       func() time.Time { return epoch.Add(n.w.now) }, SequenceInterval: -1,
		LogGranule: 1, ExciseBytes: n.w.exciseBytes,
	})
	if err != nil {
		return err
	}
	n.store, n.storeID = store, store.Identity().StoreId
	props := []actor.PropsOption{actor.WithMailbox(n.newMailbox)}
	broken := func(err error) { n.w.fail("no actor panics", "%v", err) }
	n.shared, err = actors.StartShared(n.system.Root, actors.SharedConfig{
		Store: store, Writer: recorder{n}, Clock: clock{n, n.incarnation}, Write: n.execute, Run: n.runAside, Broken: broken,
		LogBudget: n.w.logBudget, ChunkBytes: n.w.limits.ChunkBytes, Timing: n.w.options.Timing,
	}, props...)
	if err != nil {
		return err
	}
	for g := range n.w.options.Groups {
		if err := n.startGroup(g, props); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) startGroup(g int, props []actor.PropsOption) error {
	var stored []*messages.Member
	for _, m := range n.w.members {
		stored = append(stored, &messages.Member{Id: m.ID, Address: m.Address})
	}
	members, record, err := n.w.members, (*messages.GroupRecord)(nil), error(nil)
	if n.joins[g] == 0 {
		record, err = n.store.Group(groupName(g), stored)
	} else {
		members = nil
		record, err = n.store.JoinedGroup(groupName(g), n.joins[g])
	}
	if err != nil {
		return err
	}
	number := persistence.GroupID(record.Number)
	recovered, err := n.store.Recover(number)
	if err != nil {
		return err
	}
	if err := n.disk.groups[g].compare(recovered); err != nil {
		n.w.fail("recovery finds what was synced, and nothing else", "%s, group %d: %v", n.id, g, err)
	}
	n.disk.groupOf[number] = g
	incarnation, machine := n.incarnation, &witness{StateMachine: n.w.machine.New(), n: n, g: g}
	n.machines = append(n.machines, machine)
	server := len(n.boxes)
	door, err := actors.Start(n.system.Root, actors.Config{
		Group: groupName(g), ID: n.id, Members: members, Hints: n.hints, ClusterID: n.joins[g], ClientAddress: n.id,
		Machine: machine,
		Shared:  n.shared, Number: number,
		Clock: clock{n, n.incarnation}, Seed: n.w.rng.Uint64(), Level: n.level, Props: props,
		Timing: n.w.options.Timing, Limits: n.limits(), Logger: n.logger(), ObserveSessions: machine.reaches,
		Observe: func(v actors.Observation) {
			if n.incarnation == incarnation {
				n.w.observe(n, g, v)
			}
		},
	})
	n.doors = append(n.doors, door)
	if err != nil {
		return err
	}
	n.servers = append(n.servers, n.boxes[server])
	return nil
}

func groupName(g int) string { return fmt.Sprintf("g%d", g) }

func (n *node) newMailbox() actor.Mailbox {
	n.w.mailboxes++
	m := &mailbox{s: &n.w.schedule, n: n, incarnation: n.incarnation, number: n.w.mailboxes, place: len(n.boxes)}
	n.boxes = append(n.boxes, m)
	return m
}

// refused: the store does not open. That is right for a damaged one only.
func (n *node) refused(err error) {
	n.up = false
	n.incarnation++
	if n.store != nil {
		_ = n.store.Close()
		n.store = nil
	}
	if n.broken == "" {
		n.w.fail("an undamaged store opens", "%s: %v", n.id, err)
	}
	n.w.note("%s does not start: %v", n.id, err)
}

// crash ends the present incarnation. What its journal was writing is on the disk or not, as the seed chooses.
func (n *node) crash() {
	if !n.up {
		return
	}
	if n.disk.writing != nil && n.w.chance(0.5) {
		n.disk.write(n)
	}
	n.disk.writing = nil
	n.leave()
	if n.w.chance(0.5) {
		n.disk.syncFolders()
	}
	after := n.disk.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: n.w.options.Unsynced, RNG: n.w.rng})
	if n.store != nil {
		_ = n.store.Close()
		n.store = nil
	}
	n.disk.fs = after
}

// leave ends the present incarnation: nothing of it runs any more.
func (n *node) leave() {
	n.up = false
	n.incarnation++
	n.boxes = nil
}

func (n *node) restart() {
	if n.up || n.broken != "" {
		return
	}
	n.w.versions.upgrade(n)
	n.w.note("%s starts", n.id)
	n.start()
}

func (n *node) pause() { n.paused = true }

func (n *node) resume() {
	n.paused, n.resumed = false, n.w.now
	for _, m := range n.boxes {
		n.w.enqueue(m)
	}
}

// panic breaks what runs. Its server hears of that later.
func (n *node) panic(f Fault) {
	n.panicked = true
	n.w.hit(f)
	panic(injectedPanic)
}

func (n *node) logger() *slog.Logger { return slog.New(observer{n, n.incarnation}) }
