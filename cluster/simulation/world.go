package simulation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/troupe-raft/troupe/actors"
)

// Options of a run. Zero values mean the defaults.
type Options struct {
	Seed uint64
	// Nodes of the cluster, 1 to 7; by default the seed chooses, mostly 3 or 5.
	Nodes int
	// Groups, each with a member on every node; by default the seed chooses, mostly 1.
	Groups int
	// Clients that propose and read; default 6. Most have a session, and do one or two operations at a time; the others do one.
	Clients int
	// Steps is the number of messages handled while faults happen; default 20000.
	Steps  int
	Faults Faults
	// Unsynced is the percentage of unsynced data that a crash keeps; default 0. Which data that is depends on the timing of
	// Pebble's own goroutines: other values make runs that cannot be replayed exactly.
	Unsynced int
	Timing   actors.Timing
	Limits   actors.Limits
	// Trace keeps this many of the last events in readable form; default 60.
	Trace int
	// Events gets every event in readable form; nil: nobody.
	Events io.Writer
}

// setDefaults draws what is left open from a source of its own, so that a run is the same when it is given.
func (o *Options) setDefaults() {
	rng := rand.New(rand.NewPCG(o.Seed, 0xdefa))
	nodes, groups := []int{3, 3, 3, 3, 5, 5, 5, 4, 2, 1, 6, 7}[rng.IntN(12)], []int{1, 1, 1, 1, 1, 2, 2, 3}[rng.IntN(8)]
	if o.Nodes == 0 {
		o.Nodes = nodes
	}
	if o.Groups == 0 {
		o.Groups = groups
	}
	if o.Clients == 0 {
		o.Clients = 6
	}
	if o.Steps == 0 {
		o.Steps = 20000
	}
	if o.Trace == 0 {
		o.Trace = 60
	}
	if o.Timing.Election == 0 {
		o.Timing.Election = 500 * time.Millisecond
	}
	if o.Timing.Heartbeat == 0 {
		o.Timing.Heartbeat = 100 * time.Millisecond
	}
}

// Result of a run.
type Result struct {
	Options Options
	Steps   int
	// Virtual is how much time passed in the run.
	Virtual time.Duration
	// Committed entries, and operations that clients completed.
	Committed, Completed int
	// Snapshots that servers took or installed, Cuts of their logs, and Installs.
	Snapshots, Cuts, Installs int
	// Repeats are committed commands that no state machine was given: they took effect before, or their session was gone.
	Repeats int
	// Pulses is how often a node's pulse spoke for a leader.
	Pulses int
	Hits   map[Fault]int
	// Hash of all that happened, in order: equal for equal seeds.
	Hash uint64
	// Failure is nil when everything held.
	Failure *Failure
}

// Failure is a sentence that did not hold.
type Failure struct {
	Sentence, Detail string
	// Last events before it.
	Last []string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("it does not hold that %s: %s", f.Sentence, f.Detail)
}

// world is one run: its nodes, its network, its clients, and what is known of all of them.
type world struct {
	schedule
	options     Options
	limits      actors.Limits
	exciseBytes int
	logBudget   int64
	machine     Machine
	members     []actors.Member
	nodes       []*node
	mailboxes   uint64
	arrives     map[link]time.Duration
	// connections counts those that each link has had.
	connections map[link]int
	cut         map[link]*outage
	chaos       bool
	steps       int
	hits_       map[Fault]int
	pulses      int // how often one spoke for a leader
	// snapshots, cuts and installs that servers showed.
	snapshots, cuts, installs int

	failure  *Failure
	truth    []truth // by group
	history  history
	versions versions
}

type link struct{ from, to int }

const mostNodes = 7

// Run plays one seed.
func Run(m Machine, o Options) Result {
	w := newWorld(m, o)
	w.play()
	return w.result()
}

func newWorld(m Machine, o Options) *world {
	w := &world{machine: m, arrives: map[link]time.Duration{}, connections: map[link]int{}, cut: map[link]*outage{}, hits_: map[Fault]int{}}
	w.rng = rand.New(rand.NewPCG(o.Seed, 0x7ea7))
	o.setDefaults()
	w.limits, w.logBudget, w.exciseBytes = o.drawnLimits()
	w.options = o
	w.truth = newTruth(o.Groups)
	w.history.open, w.history.unanswered, w.history.requests = map[*operation]bool{}, map[*asked]bool{}, map[*request]bool{}
	w.history.changes = map[*reconfiguration]bool{}
	for i := range o.Nodes {
		id := fmt.Sprintf("n%d", i+1)
		w.members = append(w.members, actors.Member{ID: id, Address: id + ":1"})
		w.nodes = append(w.nodes, &node{
			w: w, place: i, id: id, address: id + ":1", drift: 1, disk: newDisk(o.Groups), joins: map[int]uint64{},
		})
	}
	w.versions.draw(w.nodes, o.Seed)
	if o.Faults[Drift] > 0 {
		for _, n := range w.nodes {
			n.drift = 1 + 0.1*(w.rng.Float64()-0.5)
			w.hit(Drift)
		}
	}
	return w
}

func (w *world) play() {
	for _, n := range w.nodes {
		n.start()
	}
	w.startClients()
	w.chaos = true
	w.startFaults()
	w.startRequests()
	w.run(func() bool { return w.steps >= w.options.Steps })
	w.heal()
	w.settle()
	w.gather()
	w.catchUp()
	w.quieten()
	for _, n := range w.nodes {
		n.crash()
	}
	w.checkTallies()
	w.checkHistory()
}

// run steps until it is enough, or something failed.
func (w *world) run(enough func() bool) {
	for w.failure == nil && !enough() && w.step() {
		w.steps++
	}
}

func (w *world) at(address string) *node {
	for _, n := range w.nodes {
		if n.address == address {
			return n
		}
	}
	return nil
}

// handled notes each message in the trace, before it is handled.
func (w *world) handled(t *trace, m *mailbox, message any) {
	name := typeOf(message)
	t.number(uint64(w.now))
	t.number(m.number)
	t.text(name)
	w.keep(traced{w.now, m.n.id, m.number, name, ""})
}

// traced is one event, formatted only when somebody asks.
type traced struct {
	at      time.Duration
	node    string
	mailbox uint64
	what    string
	note    string
}

func (e traced) String() string {
	if e.note != "" {
		return fmt.Sprintf("%12v  %s", e.at, e.note)
	}
	return fmt.Sprintf("%12v  %s/%d handles %s", e.at, e.node, e.mailbox, e.what)
}

func (w *world) keep(e traced) {
	if w.options.Events != nil {
		fmt.Fprintln(w.options.Events, e)
	}
	if len(w.trace.kept) < w.options.Trace {
		w.trace.kept = append(w.trace.kept, e)
		return
	}
	w.trace.kept[w.trace.next] = e
	w.trace.next = (w.trace.next + 1) % len(w.trace.kept)
}

// note puts a sentence into the trace.
func (w *world) note(format string, args ...any) {
	w.keep(traced{at: w.now, note: fmt.Sprintf(format, args...)})
}

// fail ends the run: the sentence does not hold, and the rest says where.
func (w *world) fail(sentence, format string, args ...any) {
	if w.failure == nil {
		f := &Failure{Sentence: sentence, Detail: fmt.Sprintf(format, args...)}
		for i := range w.trace.kept {
			f.Last = append(f.Last, w.trace.kept[(w.trace.next+i)%len(w.trace.kept)].String())
		}
		w.failure = f
	}
}

func (w *world) result() Result {
	r := Result{
		Options: w.options, Steps: w.steps, Virtual: w.now, Completed: w.history.completed,
		Snapshots: w.snapshots, Cuts: w.cuts, Installs: w.installs, Pulses: w.pulses, Hits: w.hits_, Hash: w.trace.hash, Failure: w.failure,
	}
	for i := range w.truth {
		r.Committed += len(w.truth[i].committed)
		r.Repeats += w.truth[i].repeats()
	}
	return r
}

// observer takes what actors report: none of them may panic, but for a state machine that was made to.
type observer struct {
	n           *node
	incarnation int
}

func (o observer) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (o observer) WithAttrs([]slog.Attr) slog.Handler               { return o }
func (o observer) WithGroup(string) slog.Handler                    { return o }

func (o observer) Handle(_ context.Context, r slog.Record) error {
	if o.n.incarnation != o.incarnation {
		return nil
	}
	var b strings.Builder
	b.WriteString(o.n.id + ": " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	text := b.String()
	o.n.w.note("%s", text)
	switch {
	case strings.Contains(text, injectedPanic):
	case strings.Contains(r.Message, "panicked"), strings.Contains(text, "state machine panicked"):
		o.n.w.fail("no actor panics", "%s", text)
	case strings.Contains(r.Message, "two leaders"), strings.Contains(r.Message, "another leader"):
		o.n.w.fail("at most one leader is elected in a term (Election Safety)", "%s", text)
	}
	return nil
}
